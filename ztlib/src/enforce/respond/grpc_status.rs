//! The parts of a gRPC status: the percent-encoded message and the binary details.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Percent-encodes a status message (gRPC over HTTP/2, "Status-Message"): everything but printable
/// ASCII, and `%` itself.
pub(crate) fn percent_encode(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        if (0x20..0x7f).contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A `google.rpc.Status` with one `google.rpc.ErrorInfo` (reason, domain, metadata `id`), as the
/// value of `grpc-status-details-bin`. Three messages of strings do not justify a protobuf library.
pub(crate) fn details(code: u8, message: &str, reason: &str, id: &str) -> String {
    let mut entry = Vec::new();
    field(&mut entry, 1, b"id");
    field(&mut entry, 2, id.as_bytes());

    let mut info = Vec::new();
    field(&mut info, 1, reason.as_bytes());
    field(&mut info, 2, b"ztlib");
    field(&mut info, 3, &entry);

    let mut any = Vec::new();
    field(&mut any, 1, b"type.googleapis.com/google.rpc.ErrorInfo");
    field(&mut any, 2, &info);

    let mut status = vec![0x08, code];
    field(&mut status, 2, message.as_bytes());
    field(&mut status, 3, &any);
    STANDARD_NO_PAD.encode(status)
}

/// A length-delimited field (protobuf encoding, wire type 2).
fn field(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = value.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_percent_encoded() {
        assert_eq!(percent_encode("ask 100% é\n"), "ask 100%25 %C3%A9%0A");
    }

    #[test]
    fn details_are_a_status_with_an_error_info() {
        let bytes = STANDARD_NO_PAD.decode(details(7, &"m".repeat(200), "no-role", "abc")).unwrap();
        // code = 7, then the message with a two-byte length
        assert_eq!(&bytes[..5], &[0x08, 7, 0x12, 0xc8, 0x01]);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("google.rpc.ErrorInfo") && text.contains("no-role") && text.contains("abc"));
    }
}
