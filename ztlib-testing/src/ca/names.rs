//! Names and other parts of certificates in DER, past rcgen, which would refuse the bad ones.

use rcgen::{CertificateParams, CustomExtension};

pub(super) const URI: u8 = 0x86;
pub(super) const DNS: u8 = 0x82;
pub(super) const MAIL: u8 = 0x81;
pub(super) const IP: u8 = 0x87;
pub(super) const OTHER: u8 = 0xa0;

pub(super) fn push_name(names: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    names.extend(der(tag, bytes));
}

/// Puts the names into the certificate.
pub(super) fn add_names(params: &mut CertificateParams, names: &[u8], critical: bool) {
    if names.is_empty() {
        return;
    }
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], der(0x30, names));
    extension.set_criticality(critical);
    params.custom_extensions.push(extension);
}

/// One element of DER: tag, length, value.
pub(super) fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).expect("test data is shorter than 16 MiB").to_be_bytes();
    let mut out = vec![tag];
    match length {
        [0, 0, 0, short @ ..0x80] => out.push(short),
        [0, 0, 0, long] => out.extend([0x81, long]),
        [0, 0, high, low] => out.extend([0x82, high, low]),
        [_, high, middle, low] => out.extend([0x83, high, middle, low]),
    }
    out.extend_from_slice(value);
    out
}
