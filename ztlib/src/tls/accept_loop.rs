//! A loop that accepts transports from a listener. No error ends it.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// After an error of this machine (no file descriptors, no memory) the loop waits this long, and
/// twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A source of transports.
pub(super) trait Listener {
    type Io;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Io, SocketAddr)>>;
}

impl Listener for TcpListener {
    type Io = TcpStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        Self::poll_accept(self, cx)
    }
}

/// Hands each transport to `take`, until `stop` resolves. `take` must not block.
pub(super) async fn accept_until<L: Listener>(
    listener: &mut L,
    stop: impl Future<Output = ()>,
    mut take: impl FnMut(L::Io, SocketAddr),
) {
    let mut stop = pin!(stop);
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = poll_fn(|cx| {
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            listener.poll_accept(cx).map(Some)
        })
        .await;
        match accepted {
            None => return,
            Some(Ok((io, remote))) => {
                pause = FIRST_PAUSE;
                take(io, remote);
            }
            Some(Err(error)) if is_about_one_connection(&error) => {
                tracing::debug!(error = %error, "a connection failed before it was accepted");
            }
            Some(Err(error)) => {
                tracing::error!(error = %error, pause = ?pause, "cannot accept connections, retrying after a pause");
                let mut slept = pin!(tokio::time::sleep(pause));
                let stopped = poll_fn(|cx| {
                    if stop.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(true);
                    }
                    slept.as_mut().poll(cx).map(|()| false)
                })
                .await;
                if stopped {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// The peer gave up while it was queued (accept(2)); the next connection may be fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Returns the scripted results, then stays pending forever.
    struct Scripted(VecDeque<io::Result<u32>>);

    impl Listener for Scripted {
        type Io = u32;

        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(u32, SocketAddr)>> {
            match self.0.pop_front() {
                Some(Ok(io)) => Poll::Ready(Ok((io, SocketAddr::from(([192, 0, 2, 1], 1))))),
                Some(Err(error)) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test]
    async fn no_accept_error_ends_the_loop() {
        const EMFILE: i32 = 24;
        const ENFILE: i32 = 23;
        const ENOMEM: i32 = 12;
        const ECONNABORTED: i32 = 103;
        let mut listener = Scripted(VecDeque::from([
            Ok(1),
            Err(io::Error::from_raw_os_error(ECONNABORTED)),
            Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            Ok(2),
            Err(io::Error::from_raw_os_error(EMFILE)),
            Err(io::Error::from_raw_os_error(ENFILE)),
            Err(io::Error::from_raw_os_error(ENOMEM)),
            Err(io::Error::other("something new")),
            Ok(3),
        ]));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let mut stop = Some(stop);
        let mut taken = Vec::new();
        let stopped = async {
            let _ = stopped.await;
        };
        accept_until(&mut listener, stopped, |io, _| {
            taken.push(io);
            if io == 3 {
                stop.take();
            }
        })
        .await;
        assert_eq!(taken, [1, 2, 3]);
    }

    #[tokio::test]
    async fn the_loop_stops_while_it_pauses() {
        let mut listener = Scripted((0..20).map(|_| Err(io::Error::from_raw_os_error(24))).collect());
        let stop = tokio::time::sleep(Duration::from_millis(20));
        accept_until(&mut listener, stop, |_, _| {}).await;
        assert!(!listener.0.is_empty());
    }
}
