//! The tokens that a connection sent last.

use std::fmt;
use std::sync::Mutex;

use zeroize::Zeroizing;

use super::claims::VerifiedClaims;

/// How many are kept, and the longest that is kept, in bytes. A service calls with one token for
/// minutes; while it changes to the next one, with two.
const KEPT: usize = 2;
const MAX_KEPT_BYTES: usize = 4096;

/// The headers that a connection sent last with a token that was good, each compared byte by byte
/// with the next one it sends. Only the connection itself can find them, so how long a comparison
/// takes tells nobody about the token of another.
///
/// They are wiped when they are replaced, and when the connection is gone.
#[derive(Default)]
pub(crate) struct LastTokens(Mutex<[Option<Last>; KEPT]>);

struct Last {
    /// Whose verifier believed it.
    verifier: u64,
    header: Zeroizing<Box<[u8]>>,
    claims: VerifiedClaims,
}

impl LastTokens {
    /// What the token in this header says. Its life is for the caller to check.
    pub(super) fn find(&self, verifier: u64, header: &[u8]) -> Option<VerifiedClaims> {
        // Requests of one connection are judged one after the other, or the look-up is left to the
        // cache that all share.
        let mut kept = self.0.try_lock().ok()?;
        let at = kept.iter().position(|last| {
            last.as_ref().is_some_and(|last| last.verifier == verifier && is_same(&last.header, header))
        })?;
        kept.swap(0, at);
        kept.first()?.as_ref().map(|last| last.claims.clone())
    }

    /// Keeps a header whose token was good, in place of the one that was not seen for longest.
    pub(super) fn keep(&self, verifier: u64, header: &[u8], claims: &VerifiedClaims) {
        if header.len() > MAX_KEPT_BYTES {
            return;
        }
        let Ok(mut kept) = self.0.try_lock() else { return };
        // An older word on the same header goes, so that what is kept is told apart.
        let same = |last: &Last| last.verifier == verifier && is_same(&last.header, header);
        if let Some(stale) = kept.iter_mut().find(|last| last.as_ref().is_some_and(same)) {
            *stale = None;
        }
        kept.rotate_right(1);
        if let Some(first) = kept.first_mut() {
            let header = Zeroizing::new(header.into());
            *first = Some(Last { verifier, header, claims: claims.clone() });
        }
    }
}

/// Looks at all bytes wherever the first difference is.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    // Pieces of a size that the compiler compares with a few instructions.
    let ((pieces, rest), (other_pieces, other_rest)) = (one.as_chunks::<64>(), other.as_chunks::<64>());
    let mut differ = 0;
    for (a, b) in pieces.iter().zip(other_pieces) {
        for (a, b) in a.iter().zip(b) {
            differ |= a ^ b;
        }
    }
    for (a, b) in rest.iter().zip(other_rest) {
        differ |= a ^ b;
    }
    differ == 0
}

impl fmt::Debug for LastTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastTokens")
    }
}

#[cfg(test)]
mod tests {
    use ztlib_testing::TokenIssuer;

    use super::*;
    use crate::authenticate::token::{Algorithm, BearerToken, Issuer, KeySet, TokenVerifier};

    #[test]
    fn a_connection_keeps_two_tokens_of_a_bounded_length_each_for_the_verifier_that_believed_it() {
        let now = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_767_225_600);
        let id = TokenIssuer::new("https://id.example");
        let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]);
        let issuer = issuer.keys(KeySet::from_jwks(&id.jwks()).unwrap());
        let verifier = TokenVerifier::builder().issuer(issuer).build().unwrap();
        let token = id.token_at(now).audience("shop").sign();
        let claims = verifier.verify(&BearerToken::new(&token).unwrap(), now).unwrap();
        let last = LastTokens::default();
        let found = |verifier, header: &[u8]| last.find(verifier, header).is_some();
        let longest = vec![b'x'; MAX_KEPT_BYTES];
        last.keep(1, &longest, &claims);
        assert!(found(1, &longest) && !found(2, &longest));
        last.keep(1, &[longest.clone(), vec![b'x']].concat(), &claims);
        assert!(!found(1, &[longest.clone(), vec![b'x']].concat()));
        last.keep(1, b"one", &claims);
        last.keep(2, b"one", &claims);
        assert!(found(1, b"one") && found(2, b"one") && !found(1, &longest));
        // The one that was not seen for longest gives way.
        assert!(found(1, b"one"));
        last.keep(1, b"two", &claims);
        assert!(found(1, b"one") && found(1, b"two") && !found(2, b"one"));
    }

    #[test]
    fn only_the_very_same_bytes_are_the_same() {
        for length in [0, 1, 63, 64, 65, 128, 900] {
            let one: Vec<u8> = (0..length).map(|n| n as u8).collect();
            assert!(is_same(&one, &one.clone()));
            for at in 0..length {
                let mut other = one.clone();
                other[at] ^= 0x80;
                assert!(!is_same(&one, &other), "{at} of {length}");
            }
            assert!(!is_same(&one, &[one.clone(), vec![0]].concat()));
        }
    }
}
