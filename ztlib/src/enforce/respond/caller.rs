//! The protocol in which a caller is answered, from its request and from what the service speaks.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};

use super::body::ResponseBody;

/// The protocol in which a caller is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the adapters handle both")]
pub enum Protocol {
    /// A status and an `application/problem+json` body (RFC 9457).
    #[default]
    Http,
    /// A trailers-only reply with `grpc-status` and details. Its HTTP status is 200, so caches,
    /// rate limits and forward authentication take it for a success. It is therefore sent only by
    /// services that serve gRPC, and only to requests that can be a gRPC call.
    Grpc,
}

/// The parts of a request that its answer depends on, captured before the request is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyTo {
    may_be_grpc: bool,
    is_head: bool,
    is_http2: bool,
    /// The caller may already have sent bytes of the protocol it asked to upgrade to.
    expects_upgrade: bool,
}

impl ReplyTo {
    pub(crate) fn of(method: &Method, version: Version, headers: &HeaderMap) -> Self {
        // HTTP/2 has no upgrade, and a tunnel has its own stream there.
        let expects_upgrade =
            version <= Version::HTTP_11 && (method == Method::CONNECT || headers.contains_key(UPGRADE));
        let is_http2 = version >= Version::HTTP_2;
        Self {
            // gRPC over HTTP/2, "Requests": the method is POST.
            may_be_grpc: version == Version::HTTP_2 && method == Method::POST && is_grpc(headers),
            is_head: method == Method::HEAD,
            is_http2,
            expects_upgrade,
        }
    }

    /// The protocol in which a service that speaks `served` refuses this caller.
    pub(crate) fn protocol(self, served: Protocol) -> Protocol {
        if self.may_be_grpc { served } else { Protocol::Http }
    }

    /// Makes a refusal fit the request.
    pub(super) fn fit_refusal<B>(self, head: Response<()>, bytes: Bytes) -> Response<ResponseBody<B>> {
        let mut head = head;
        self.close(&mut head);
        if self.is_head {
            // RFC 9110 section 9.3.2: the headers of a GET, without its content.
            head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            return head.map(|()| ResponseBody::refusal(Bytes::new()));
        }
        head.map(|()| ResponseBody::refusal(bytes))
    }

    /// Makes the service's own answer fit the request.
    pub(super) fn fit<B>(self, response: Response<B>) -> Response<ResponseBody<B>> {
        let mut response = response;
        self.close(&mut response);
        // Over HTTP/1.1 the server drops the content itself. Over HTTP/2 it would be sent, and
        // clients treat a HEAD response with content as a protocol error.
        if self.is_head && self.is_http2 {
            response.map(ResponseBody::without_content)
        } else {
            response.map(ResponseBody::service)
        }
    }

    /// Closes the connection after this answer if the caller asked for an upgrade that it does not
    /// get: bytes it has already sent must not be parsed as a request (RFC 9931).
    fn close<B>(self, response: &mut Response<B>) {
        if self.expects_upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// gRPC over HTTP/2, "Content-Type": `application/grpc`, optionally with `+` and a format.
/// `application/grpc-web` does not count: its trailers are in the body, so it is answered as HTTP.
fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let split = value.as_bytes().split_at_checked(GRPC.len());
        // Media types are case-insensitive (RFC 9110 section 8.3.1).
        split.is_some_and(|(kind, rest)| {
            kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol(method: Method, version: Version, content_type: &str) -> Protocol {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        }
        ReplyTo::of(&method, version, &headers).protocol(Protocol::Grpc)
    }

    #[test]
    fn only_a_post_over_http2_with_a_grpc_content_type_can_be_grpc() {
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=x",
            "application/grpc ; a=b",
            "Application/gRPC",
        ] {
            assert_eq!(protocol(Method::POST, Version::HTTP_2, good), Protocol::Grpc, "{good}");
            for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
                assert_eq!(protocol(method, Version::HTTP_2, good), Protocol::Http, "{good}");
            }
            for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_3] {
                assert_eq!(protocol(Method::POST, version, good), Protocol::Http, "{good} {version:?}");
            }
        }
        for bad in [
            "",
            "application/grp",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "application/grpcx",
            "application/connect+proto",
            "application/json",
            "text/application/grpc",
        ] {
            assert_eq!(protocol(Method::POST, Version::HTTP_2, bad), Protocol::Http, "{bad}");
        }
    }
}
