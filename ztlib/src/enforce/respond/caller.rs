//! In which form a caller is answered: what its request says of itself, and what the service
//! speaks.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};

use super::body::ResponseBody;

/// In which protocol's words a caller is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the adapters handle both")]
pub enum Protocol {
    /// A status and a `application/problem+json` body (RFC 9457).
    #[default]
    Http,
    /// A trailers-only reply with `grpc-status` and details. Its HTTP status is 200, so that
    /// caches, rate limits and forward authentication take it for success: it is only for services
    /// that serve gRPC, and there only for what can be a gRPC call.
    Grpc,
}

/// What of a request the form of its answer depends on, taken before the request is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyTo {
    may_be_grpc: bool,
    is_head: bool,
    is_http2: bool,
    /// The caller may have sent more in the hope of another protocol.
    expects_upgrade: bool,
}

impl ReplyTo {
    pub(crate) fn of(method: &Method, version: Version, headers: &HeaderMap) -> Self {
        // HTTP/2 has no upgrade, and a tunnel there is a stream of its own.
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

    /// The words in which a service that speaks `served` refuses this caller.
    pub(crate) fn protocol(self, served: Protocol) -> Protocol {
        if self.may_be_grpc { served } else { Protocol::Http }
    }

    /// What a refusal still needs to fit the request.
    pub(super) fn fit_refusal<B>(self, head: Response<()>, bytes: Bytes) -> Response<ResponseBody<B>> {
        let mut head = head;
        self.close(&mut head);
        if self.is_head {
            // RFC 9110 section 9.3.2: the headers that a GET would have had, and no content.
            head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            return head.map(|()| ResponseBody::refusal(Bytes::new()));
        }
        head.map(|()| ResponseBody::refusal(bytes))
    }

    /// What the answer of the service itself still needs.
    pub(super) fn fit<B>(self, response: Response<B>) -> Response<ResponseBody<B>> {
        let mut response = response;
        self.close(&mut response);
        // Over HTTP/1.1 the server leaves the content out itself; over HTTP/2 it would go out as it
        // is, and clients take a HEAD with content for a protocol error.
        if self.is_head && self.is_http2 {
            response.map(ResponseBody::without_content)
        } else {
            response.map(ResponseBody::service)
        }
    }

    /// Ends the connection after this answer where the caller hoped for another protocol and does
    /// not get it: what it has sent already is not to be read as a request (RFC 9931).
    fn close<B>(self, response: &mut Response<B>) {
        if self.expects_upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// gRPC over HTTP/2, "Content-Type": `application/grpc`, or that with a `+` and a format. It is not
/// `application/grpc-web`: its trailers are in the body, so it is answered as HTTP.
fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let split = value.as_bytes().split_at_checked(GRPC.len());
        // A media type has no case (RFC 9110 section 8.3.1).
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
