//! Keys that look like any other and protect nothing.

/// Whether an Ed25519 point is one of the eight of order 1, 2, 4 and 8, in any encoding: these are
/// their y coordinates and those of them that can also be written without reduction. The top bit is
/// the sign of x.
pub(super) fn has_small_order(point: &[u8]) -> bool {
    const fn ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
        let mut y = [middle; 32];
        y[0] = first;
        y[31] = last;
        y
    }
    const SMALL: [[u8; 32]; 7] = [
        ends(0x00, 0x00, 0x00),
        ends(0x01, 0x00, 0x00),
        ends(0xec, 0xff, 0x7f),
        ends(0xed, 0xff, 0x7f),
        ends(0xee, 0xff, 0x7f),
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let Some((sign, rest)) = point.split_last() else { return true };
    SMALL.iter().any(|y| y.split_last().is_some_and(|(last, body)| body == rest && *last == sign & 0x7f))
}

/// Whether the modulus lies, modulo every small prime, in the group that 65537 generates: keys of
/// the faulty generator always do, others once in about 2^27 (Nemec et al., "The Return of
/// Coppersmith's Attack", 2017, section 3).
pub(super) fn has_roca_form(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
        103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|&prime| {
        let residue = modulus.iter().fold(0, |rest, &byte| (rest * 256 + u32::from(byte)) % prime);
        let generator = 65_537 % prime;
        std::iter::successors(Some(1), |power| Some(power * generator % prime))
            .take(prime as usize)
            .any(|power| power == residue)
    })
}
