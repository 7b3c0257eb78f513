//! Who vouches for whom: roots for each trust domain, and named authorities for peers without a
//! SPIFFE ID.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::roots::Roots;
use super::trust_builder::TrustBuilder;
use super::{TrustDomain, TrustError};
use crate::live::{Live, Now};

/// Generations are numbered through the whole process, so that one number never stands for two sets
/// of roots, not even those of two `Trust`s.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

/// Whom this service believes, shared by the acceptor and the guard.
///
/// Each trust domain has roots of its own: a root given for one domain never vouches for an
/// identity in another, nor for a peer without a SPIFFE ID, not even through a cross-signed
/// intermediate. Cloning shares; [`replace`](Self::replace) and [`update`](Self::update) are seen
/// by every clone at once, and requests on connections that are already open are judged by the new
/// roots.
///
/// ```
/// use ztlib::authenticate::peer::{Trust, TrustDomain};
///
/// # let authority = ztlib_testing::Authority::new("example root");
/// # let next = ztlib_testing::Authority::new("next root");
/// let domain = TrustDomain::parse("example.org")?;
/// let trust = Trust::builder().trust(domain.clone(), [authority.certificate()])?.build()?;
/// let before = trust.generation();
///
/// trust.replace(Trust::builder().trust(domain.clone(), [next.certificate()])?.build()?);
/// assert!(trust.generation() > before);
///
/// // A domain without roots would trust nobody; it is refused rather than forgotten.
/// let error = Trust::builder().trust(domain, []).unwrap_err();
/// assert_eq!(error.code(), "no-roots");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Trust(Arc<Live<Arc<Roots>>>);

impl Trust {
    /// Begins with nobody trusted.
    pub fn builder() -> TrustBuilder {
        TrustBuilder::default()
    }

    pub(super) fn new(roots: Roots) -> Self {
        Self(Arc::new(Live::new(next_generation(), Arc::new(roots))))
    }

    /// Puts the roots of `next` in place of these, at once and for every clone.
    ///
    /// No TLS session is resumed by our acceptor, so a new connection is always judged by the new
    /// roots; a request on an open connection is judged by them too, before anything else
    /// happens to it.
    pub fn replace(&self, next: Self) {
        let roots = Arc::clone(&next.view().value);
        let Ok(_) =
            self.0.update(|_| Ok::<_, Infallible>(Now { generation: next_generation(), value: roots }));
    }

    /// Puts the trust domains and authorities of `part` in place of those of the same name, or
    /// adds them. All others keep their roots and their revocation lists. Gives the new generation.
    ///
    /// Code that follows the roots of one domain, such as a federated bundle or a new revocation
    /// list, does not need the roots of the others.
    ///
    /// ```
    /// use ztlib::authenticate::peer::{Trust, TrustDomain};
    ///
    /// # let [ours, theirs, next] = ["ours", "theirs", "next"].map(ztlib_testing::Authority::new);
    /// let (shop, partner) =
    ///     (TrustDomain::parse("shop.example")?, TrustDomain::parse("partner.example")?);
    /// let trust = Trust::builder().trust(shop.clone(), [ours.certificate()])?.build()?;
    ///
    /// trust.update(Trust::builder().trust(partner.clone(), [theirs.certificate()])?.build()?)?;
    /// trust.update(Trust::builder().trust(partner.clone(), [next.certificate()])?.build()?)?;
    /// trust.remove(&partner)?;
    ///
    /// // A root that vouches for one domain cannot be given to another. Nothing is changed.
    /// let shared = Trust::builder().trust(partner, [ours.certificate()])?.build()?;
    /// assert_eq!(trust.update(shared).unwrap_err().code(), "shared-root");
    ///
    /// // The last one stays: a service that trusts nobody would refuse everybody.
    /// assert_eq!(trust.remove(&shop).unwrap_err().code(), "nobody-trusted");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A root of `part` is that of another trust domain or authority here. Nothing is changed then.
    pub fn update(&self, part: Self) -> Result<u64, TrustError> {
        let part = Arc::clone(&part.view().value);
        self.0.update(|now| {
            let roots = Arc::new(now.value.with(&part)?);
            Ok(Now { generation: next_generation(), value: roots })
        })
    }

    /// Stops trusting a domain. Gives the new generation. A domain that is not there is not an
    /// error.
    ///
    /// # Errors
    /// Nobody else is trusted. Nothing is changed then.
    pub fn remove(&self, domain: &TrustDomain) -> Result<u64, TrustError> {
        self.0.update(|now| {
            let roots = Arc::new(now.value.without(domain)?);
            Ok(Now { generation: next_generation(), value: roots })
        })
    }

    /// A number that grows with every replacement.
    pub fn generation(&self) -> u64 {
        self.0.generation()
    }

    /// Waits until the roots are not those of generation `since`, and returns the generation that
    /// they have then.
    pub async fn changed(&self, since: u64) -> u64 {
        self.0.changed(since).await
    }

    /// One consistent view, for one request or one handshake.
    pub(crate) fn view(&self) -> arc_swap::Guard<Arc<TrustView>> {
        self.0.load()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.view();
        f.debug_struct("Trust")
            .field("generation", &view.generation)
            .field("domains", &view.value.domains().map(TrustDomain::as_str).collect::<Vec<_>>())
            .field("authorities", &view.value.authorities().collect::<Vec<_>>())
            .finish()
    }
}

/// The roots of one generation.
pub(crate) type TrustView = Now<Arc<Roots>>;

fn next_generation() -> u64 {
    GENERATIONS.fetch_add(1, Ordering::Relaxed)
}
