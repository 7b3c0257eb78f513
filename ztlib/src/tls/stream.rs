//! Bytes in and out of an accepted connection.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::handshakes::Slot;

/// An accepted TLS connection. Read and write it like any other.
pub struct TlsStream<IO>(tokio_rustls::server::TlsStream<Heard<IO>>);

impl<IO> TlsStream<IO> {
    pub(super) fn new(mut stream: tokio_rustls::server::TlsStream<Heard<IO>>) -> Self {
        stream.get_mut().0.forget();
        Self(stream)
    }

    /// The transport below TLS.
    pub fn get_ref(&self) -> &IO {
        &self.0.get_ref().0.io
    }
}

impl<IO> fmt::Debug for TlsStream<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsStream")
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

/// A transport whose first bytes were read before the handshake. It reports when it receives bytes.
pub(super) struct Heard<IO> {
    io: IO,
    /// Bytes that were read and not passed on yet.
    first: FirstBytes,
    /// Present until the handshake is over.
    slot: Option<Arc<Slot>>,
}

/// Less than the shortest ClientHello. A silent connection uses no more memory than this.
const FIRST_BYTES: usize = 64;

#[derive(Default)]
struct FirstBytes {
    bytes: Vec<u8>,
    given: usize,
}

impl<IO: AsyncRead + Unpin> Heard<IO> {
    /// Waits for the peer's first bytes.
    pub(super) async fn first(mut io: IO, slot: &Arc<Slot>) -> io::Result<Self> {
        let mut bytes = Vec::with_capacity(FIRST_BYTES);
        if io.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self { io, first: FirstBytes { bytes, given: 0 }, slot: Some(Arc::clone(slot)) })
    }
}

impl<IO> Heard<IO> {
    fn forget(&mut self) {
        self.slot = None;
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Heard<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(left) = self.first.bytes.get(self.first.given..).filter(|left| !left.is_empty()) {
            let some = left.len().min(buffer.remaining());
            buffer.put_slice(left.get(..some).unwrap_or_default());
            self.first.given += some;
            if self.first.given == self.first.bytes.len() {
                self.first = FirstBytes::default();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before
            && let Some(slot) = &self.slot
        {
            slot.hear();
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Heard<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
