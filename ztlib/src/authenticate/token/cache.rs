//! Tokens that were verified before.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use zeroize::Zeroizing;

use super::bearer::BearerToken;
use super::claims::VerifiedClaims;
use super::error::TokenError;
use super::verifier::TokenVerifier;

/// What the claims of a token cost beside its text, at a guess on the safe side: they are parsed,
/// so they are larger.
const CLAIMS_PER_BYTE: usize = 6;
const ENTRY_OVERHEAD: usize = 3 * 1024;
/// What an entry may well weigh. The cache is split into shards of at least 32 of them, and what is
/// heavier than a shard is not kept.
const ORDINARY_ENTRY: u64 = 32 * 1024;

/// Remembers the claims of tokens whose signature was good. The exact token is the key, compared in
/// full.
///
/// Only what cannot change is remembered, which is that the signature fits the key: time, and
/// whether the key is still trusted, are looked at on every request. Tokens that are refused are
/// not remembered, so a flood of them costs no memory.
#[derive(Clone)]
pub(super) struct VerifiedTokens {
    /// Unique in this process.
    pub(super) number: u64,
    tokens: Arc<Cache<Text, VerifiedClaims, Weigher>>,
}

impl VerifiedTokens {
    pub(super) fn new(bytes: u64) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            tokens: Arc::new(Cache::with_weighter(
                usize::try_from(bytes / ORDINARY_ENTRY).unwrap_or(usize::MAX),
                bytes,
                Weigher,
            )),
        }
    }

    /// What the token says, verified now or before.
    pub(super) fn verify(
        &self,
        verifier: &TokenVerifier,
        token: &BearerToken<'_>,
        now: SystemTime,
    ) -> Result<VerifiedClaims, TokenError> {
        if let Some(claims) = self.known(token, now) {
            return Ok(claims);
        }
        let claims = verifier.verify(token, now)?;
        self.tokens.insert(Text(Zeroizing::new(token.as_str().as_bytes().into())), claims.clone());
        Ok(claims)
    }

    /// What a token that was verified before says, where it still holds.
    pub(super) fn known(&self, token: &BearerToken<'_>, now: SystemTime) -> Option<VerifiedClaims> {
        let text = token.as_str().as_bytes();
        let claims = self.tokens.get(text)?;
        if claims.recheck(now).is_ok() {
            return Some(claims);
        }
        // Its time is over, or its key is gone. Verifying afresh names the reason, or finds another
        // key that fits.
        self.tokens.remove(text);
        None
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.tokens.len()
    }
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedTokens")
    }
}

/// Counts an entry's bytes.
#[derive(Clone)]
struct Weigher;

impl Weighter<Text, VerifiedClaims> for Weigher {
    fn weight(&self, text: &Text, claims: &VerifiedClaims) -> u64 {
        let held = (text.0.len() * CLAIMS_PER_BYTE).max(claims.held_bytes());
        u64::try_from(ENTRY_OVERHEAD + text.0.len() + held).unwrap_or(u64::MAX)
    }
}

/// A token's text; wiped when it is dropped.
struct Text(Zeroizing<Box<[u8]>>);

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.0[..] == other.0[..]
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<[u8]>::borrow(self).hash(state);
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use ztlib_testing::TokenIssuer;

    use super::*;
    use crate::authenticate::token::{Algorithm, Issuer, KeySet, KeyStore};

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_767_225_600)
    }

    fn verifier(id: &TokenIssuer, keys: impl Into<KeyStore>) -> TokenVerifier {
        let issuer = Issuer::new(id.name()).audience("shop").algorithms([Algorithm::ES256]).keys(keys);
        TokenVerifier::builder().issuer(issuer).build().unwrap()
    }

    fn keys(id: &TokenIssuer) -> KeySet {
        KeySet::from_jwks(&id.jwks()).unwrap()
    }

    #[test]
    fn a_remembered_token_expires_to_the_second() {
        let id = TokenIssuer::new("https://id.example");
        let (verifier, tokens) = (verifier(&id, keys(&id)), VerifiedTokens::new(1 << 20));
        let text = id.token_at(now()).audience("shop").expires_in(Duration::from_secs(60)).sign();
        let token = BearerToken::new(&text).unwrap();
        let at = |seconds| {
            tokens.verify(&verifier, &token, now() + Duration::from_secs(seconds)).map_err(|e| e.code())
        };
        assert!(at(0).is_ok());
        assert_eq!(tokens.len(), 1);
        assert!(at(59).is_ok());
        assert_eq!(at(60).unwrap_err(), "token-expired");
        assert_eq!(tokens.len(), 0);
        // A clock that steps back finds it valid again, verified afresh.
        assert!(at(59).is_ok());
    }

    #[test]
    fn a_remembered_token_goes_with_its_key() {
        let id = TokenIssuer::new("https://id.example");
        let (other, handle) =
            (TokenIssuer::new("https://id.example").key_id("next"), KeyStore::new(keys(&id)));
        let (verifier, tokens) = (verifier(&id, handle.clone()), VerifiedTokens::new(1 << 20));
        let text = id.token_at(now()).audience("shop").sign();
        let token = BearerToken::new(&text).unwrap();
        assert!(tokens.verify(&verifier, &token, now()).is_ok());
        handle.replace(KeySet::from_jwks(&TokenIssuer::jwks_of(&[&id, &other])).unwrap());
        assert!(tokens.verify(&verifier, &token, now()).is_ok());
        handle.replace(keys(&other));
        assert_eq!(tokens.verify(&verifier, &token, now()).unwrap_err().code(), "token-unknown-key");
        assert_eq!(tokens.len(), 0);
    }

    #[test]
    fn refused_tokens_are_not_remembered_and_the_bytes_are_bounded() {
        let id = TokenIssuer::new("https://id.example");
        let (verifier, tokens) = (verifier(&id, keys(&id)), VerifiedTokens::new(32 * 1024));
        for n in 0..50 {
            let draft = || id.token_at(now()).subject(&n.to_string()).audience("shop");
            let bad = draft().signed_by_unknown_key().sign();
            assert!(tokens.verify(&verifier, &BearerToken::new(&bad).unwrap(), now()).is_err());
            let good = draft().sign();
            assert!(tokens.verify(&verifier, &BearerToken::new(&good).unwrap(), now()).is_ok());
            // One bit of another token is another token.
            let changed = format!("{}x", good);
            assert!(tokens.verify(&verifier, &BearerToken::new(&changed).unwrap(), now()).is_err());
        }
        assert!((1..20).contains(&tokens.len()), "{}", tokens.len());
    }

    /// A key of the set that a token did not name is found by its algorithm; where two would fit, a
    /// fresh verification refuses to guess.
    #[test]
    fn a_remembered_token_without_a_key_id_is_refused_where_it_could_mean_two_keys() {
        let id = TokenIssuer::new("https://id.example").without_key_id();
        let other = TokenIssuer::new("https://id.example").key_id("next");
        let handle = KeyStore::new(keys(&id));
        let (verifier, tokens) = (verifier(&id, handle.clone()), VerifiedTokens::new(1 << 20));
        let text = id.token_at(now()).audience("shop").sign();
        let token = BearerToken::new(&text).unwrap();
        assert!(tokens.verify(&verifier, &token, now()).is_ok());
        handle.replace(KeySet::from_jwks(&TokenIssuer::jwks_of(&[&id, &other])).unwrap());
        let fresh = verifier.verify(&token, now()).unwrap_err().code();
        assert_eq!(tokens.verify(&verifier, &token, now()).unwrap_err().code(), fresh);
    }

    /// Members are counted when a token is read, the items of lists are not: some claims take far
    /// more memory than their text.
    #[test]
    fn claims_that_take_more_memory_than_their_text_are_weighed_as_such() {
        let id = TokenIssuer::new("https://id.example");
        let (verifier, tokens) = (verifier(&id, keys(&id)), VerifiedTokens::new(1 << 20));
        let lists: Vec<[u8; 1]> = vec![[1]; 1400];
        let text = id.token_at(now()).audience("shop").claim("x", &lists).sign();
        let token = BearerToken::new(&text).unwrap();
        tokens.verify(&verifier, &token, now()).unwrap();
        // Each of the lists has room for four values, and is one itself.
        let least = (lists.len() * 5 * size_of::<serde_json::Value>()) as u64;
        let weighed = tokens.tokens.weight();
        assert!(weighed >= least, "{} bytes of text, {least} of lists, weighed as {weighed}", text.len());
    }
}
