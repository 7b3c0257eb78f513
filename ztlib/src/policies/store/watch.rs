//! Notices changes of a manifest and the files that it names, and reloads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::in_force::{By, Shared};
use crate::clock::Stopwatch;
use crate::load_error::LoadError;

/// How often the files are checked even without a notification: network file systems send none.
const POLL: Duration = Duration::from_millis(500);
/// How often a candidate is loaded again that was refused for a reason other than its files: a full
/// disk, or too many open files.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// How long files must be unchanged before they are read: a writer of several files does not finish
/// with the first.
const SETTLE: Duration = Duration::from_millis(30);
/// After this many waits they are read anyway. A half-written file does not load, and is read again
/// when it is complete.
const MOST_SETTLES: u32 = 10;

/// Watches until it is dropped.
pub(crate) struct Watch(SyncSender<Event>);

enum Event {
    Changed,
    Stop,
}

impl Watch {
    pub(crate) fn start(shared: Weak<Shared>) -> Result<Self, LoadError> {
        // One pending notification is as good as many: a log that grows in the same folder must not
        // fill the memory.
        let (sender, events) = sync_channel(1);
        let notices = sender.clone();
        // The kind of event does not matter: the files are checked.
        let watcher = notify::recommended_watcher(move |_| drop(notices.try_send(Event::Changed)));
        let watcher = watcher.inspect_err(
            |error| tracing::warn!(%error, "policies are polled twice a second instead of watched"),
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
        // If a notification is pending, the thread wakes anyway and finds nothing left to watch. It
        // may be this very thread.
        let _ = self.0.try_send(Event::Stop);
    }
}

struct Watching {
    /// The watched handle. Watching does not keep it alive.
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
                // Other files in the folder may change at any rate. Nothing is checked more often
                // than this.
                std::thread::sleep(SETTLE);
                continue;
            }
            drop(shared);
            if !self.settle() {
                return;
            }
            let Some(shared) = self.shared.upgrade() else { return };
            // It reports a failure itself, in the log and the status.
            let _ = shared.reload(By::Watch);
            tried = Stopwatch::start();
            self.follow();
        }
    }

    /// Waits for an event or a timeout. Returns false if it is time to stop.
    fn wait(&self, at_most: Duration) -> bool {
        match self.events.recv_timeout(at_most) {
            Ok(Event::Changed) | Err(RecvTimeoutError::Timeout) => true,
            Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    /// Waits until the files are unchanged for a while. Returns false if it is time to stop.
    fn settle(&self) -> bool {
        let files = || self.shared.upgrade().map(|shared| shared.files());
        let mut before = files();
        for _ in 0..MOST_SETTLES {
            // Pending notifications would cut the next wait short, so all of them are taken.
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

    /// Watches the folders of all files that the last load looked up, and their parents, where a
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
            // A folder that no longer exists cannot be unwatched.
            let _ = watcher.unwatch(gone);
        }
        // Watch all of them again: a folder that was replaced is another one under the same name.
        for folder in &folders {
            let _ = watcher.unwatch(folder);
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(?folder, %error, "polled twice a second instead of watched");
            }
        }
        self.folders = folders;
    }
}
