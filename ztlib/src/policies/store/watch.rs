//! Notices that a manifest or what it names has changed, and has it loaded.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::in_force::{By, Shared};
use crate::clock::Stopwatch;
use crate::load_error::LoadError;

/// How often the files are looked at even where the system has said nothing: network file systems
/// say nothing.
const POLL: Duration = Duration::from_millis(500);
/// How often a candidate is loaded again that was refused for no fault of its files: the disk was
/// full, or there were too many open files.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// How long files have to be left alone before they are read: a writer of several has not
/// finished with the first.
const SETTLE: Duration = Duration::from_millis(30);
/// After so many moments they are read anyhow; a half-written file does not load, and is looked at
/// again when it is whole.
const MOST_SETTLES: u32 = 10;

/// Watches until it is dropped.
pub(crate) struct Watch(SyncSender<Event>);

enum Event {
    Changed,
    Stop,
}

impl Watch {
    pub(crate) fn start(shared: Weak<Shared>) -> Result<Self, LoadError> {
        // One notice says as much as many: a log that grows in the same folder must not fill the
        // memory.
        let (sender, events) = sync_channel(1);
        let notices = sender.clone();
        // What happened does not matter: the files are looked at.
        let watcher = notify::recommended_watcher(move |_| drop(notices.try_send(Event::Changed)));
        let watcher = watcher.inspect_err(
            |error| tracing::warn!(%error, "policies are looked at twice a second instead of being watched"),
        );
        let mut watching = Watching { shared, events, watcher: watcher.ok(), folders: BTreeSet::new() };
        watching.follow();
        let thread = std::thread::Builder::new().name("ztlib-policies".to_owned());
        thread.spawn(move || watching.run()).map_err(|error| {
            LoadError::new(
                "not-watchable",
                format!("no thread can be started to watch the policies: {error}"),
            )
        })?;
        Ok(Self(sender))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Where a notice is waiting, the thread wakes all the same, and finds nobody to watch for.
        // It may be this very thread.
        let _ = self.0.try_send(Event::Stop);
    }
}

struct Watching {
    /// The handle that is watched for: watching does not keep it.
    shared: Weak<Shared>,
    events: Receiver<Event>,
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

impl Watching {
    fn run(mut self) {
        let mut tried = Stopwatch::start();
        while self.wait(POLL) {
            let Some(shared) = self.shared.upgrade() else { return };
            let is_due = tried.elapsed() >= TRY_AGAIN && shared.may_try_again();
            if !is_due && !shared.has_changed() {
                shared.confirm();
                drop(shared);
                // Whatever else is written there as often as it likes: it is not looked at more
                // often than this.
                std::thread::sleep(SETTLE);
                continue;
            }
            drop(shared);
            if !self.settle() {
                return;
            }
            let Some(shared) = self.shared.upgrade() else { return };
            // It reports a failure itself: in the log and in the status.
            let _ = shared.reload(By::Watch);
            tried = Stopwatch::start();
            self.follow();
        }
    }

    /// Waits until something happens, or for that long; false where it is time to stop.
    fn wait(&self, at_most: Duration) -> bool {
        match self.events.recv_timeout(at_most) {
            Ok(Event::Changed) | Err(RecvTimeoutError::Timeout) => true,
            Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    /// Waits until the files are left alone; false where it is time to stop.
    fn settle(&self) -> bool {
        let files = || self.shared.upgrade().map(|shared| shared.files());
        let mut before = files();
        for _ in 0..MOST_SETTLES {
            // Notices that arrive meanwhile cut a wait short; so all that are there are taken.
            while let Ok(event) = self.events.try_recv() {
                if matches!(event, Event::Stop) {
                    return false;
                }
            }
            if !self.wait(SETTLE) {
                return false;
            }
            let now = files();
            if now == before {
                return true;
            }
            before = now;
        }
        true
    }

    /// Watches the folders of all files that the last load looked for, and those above, where a
    /// link to them may be swapped.
    fn follow(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let Some(shared) = self.shared.upgrade() else { return };
        let parent =
            |path: &Path| path.parent().map(Path::to_owned).filter(|folder| !folder.as_os_str().is_empty());
        let mut folders = BTreeSet::new();
        for (path, _) in shared.files() {
            let folder = parent(&path).unwrap_or_else(|| PathBuf::from("."));
            folders.extend(parent(&folder));
            folders.insert(folder);
        }
        for gone in self.folders.difference(&folders) {
            // A folder that is not there any more cannot be let go of.
            let _ = watcher.unwatch(gone);
        }
        // All again: a folder that was replaced is another one under the same name.
        for folder in &folders {
            let _ = watcher.unwatch(folder);
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(?folder, %error, "looked at twice a second instead of being watched");
            }
        }
        self.folders = folders;
    }
}
