//! A call ends when the time that its caller gave it has passed.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Request};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tower_service::Service;

/// Ends a call whose `grpc-timeout` passes before its answer begins.
#[derive(Debug, Clone)]
pub(crate) struct WithinDeadline<S>(pub(crate) S);

impl<S, B> Service<Request<B>> for WithinDeadline<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let given = given_time(request.headers());
        Answer { answer: self.0.call(request), end: given.map(sleep) }
    }
}

pin_project! {
    /// The answer, or that it came too late.
    pub(crate) struct Answer<F> {
        #[pin]
        answer: F,
        #[pin]
        end: Option<Sleep>,
    }
}

impl<F> Future for Answer<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // An answer that is there is given, also where both are due.
        if let Poll::Ready(answer) = this.answer.poll(cx) {
            return Poll::Ready(answer);
        }
        match this.end.as_pin_mut().map(|end| end.poll(cx)) {
            Some(Poll::Ready(())) => {
                let status = Status::deadline_exceeded("the time that the caller gave has passed");
                Poll::Ready(Ok(status.into_http::<Body>()))
            }
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}

/// The one `grpc-timeout` (gRPC over HTTP2, "Requests": at most eight digits and a unit). What is
/// not of that form says nothing.
fn given_time(headers: &HeaderMap) -> Option<Duration> {
    let mut values = headers.get_all("grpc-timeout").iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (&unit, digits) = value.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[test]
    fn a_time_is_taken_in_the_form_that_grpc_gives_it_and_in_no_other() {
        let seconds = Duration::from_secs;
        for (text, expected) in [
            ("1S", Some(seconds(1))),
            ("0m", Some(Duration::ZERO)),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("2M", Some(seconds(120))),
            ("99999999H", Some(seconds(99_999_999 * 3600))),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            (" 1S", None),
            ("1S ", None),
            ("1µ", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(given_time(&headers), expected, "{text:?}");
        }
        assert_eq!(given_time(&HeaderMap::new()), None);
        let mut two = HeaderMap::new();
        two.append("grpc-timeout", http::HeaderValue::from_static("1S"));
        two.append("grpc-timeout", http::HeaderValue::from_static("2S"));
        assert_eq!(given_time(&two), None, "two times are none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline_and_one_that_is_done_before_does_not() {
        let status = async |takes: Option<Duration>, given: Option<&'static str>| {
            let service = tower::service_fn(async |_: Request<()>| {
                match takes {
                    Some(takes) => sleep(takes).await,
                    None => pending().await,
                }
                Ok::<_, Infallible>(Response::new(Body::empty()))
            });
            let mut request = Request::new(());
            if let Some(given) = given {
                request.headers_mut().insert("grpc-timeout", http::HeaderValue::from_static(given));
            }
            let answer = WithinDeadline(service).call(request).await.unwrap();
            answer.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
        };
        let late = Some("4".to_owned());
        assert_eq!(status(None, Some("100m")).await, late);
        assert_eq!(status(Some(Duration::from_millis(101)), Some("100m")).await, late);
        assert_eq!(status(Some(Duration::from_millis(99)), Some("100m")).await, None);
        assert_eq!(status(Some(Duration::ZERO), Some("0n")).await, None, "what is there is given");
        assert_eq!(status(Some(Duration::from_secs(3600)), None).await, None);
        assert_eq!(status(Some(Duration::from_secs(3600)), Some("99999999H")).await, None);
    }
}
