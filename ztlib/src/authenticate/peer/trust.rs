//! Who vouches for whom: roots for each trust domain, and named authorities for peers without a
//! SPIFFE ID.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::TrustDomain;
use super::roots::Roots;
use super::trust_builder::TrustBuilder;

/// Generations are numbered through the whole process, so that one number never stands for two sets
/// of roots, not even those of two `Trust`s.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

/// Whom this service believes, shared by the acceptor and the guard.
///
/// Each trust domain has roots of its own: a root given for one domain never vouches for an
/// identity in another, nor for a peer without a SPIFFE ID, not even through a cross-signed
/// intermediate. Cloning shares; [`replace`](Self::replace) is seen by every clone at once, and
/// requests on connections that are already open are judged by the new roots.
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
pub struct Trust(Arc<ArcSwap<TrustView>>);

impl Trust {
    /// Begins with nobody trusted.
    pub fn builder() -> TrustBuilder {
        TrustBuilder::default()
    }

    pub(super) fn new(roots: Roots) -> Self {
        let roots = Arc::new(roots);
        Self(Arc::new(ArcSwap::from_pointee(TrustView { generation: next_generation(), roots })))
    }

    /// Puts the roots of `next` in the place of these, at once and for every clone.
    ///
    /// No TLS session is resumed by our acceptor, so a new connection is always judged by the new
    /// roots; a request on an open connection is judged by them too, before anything else
    /// happens to it.
    pub fn replace(&self, next: Self) {
        let next = next.view();
        self.0.rcu(|_| TrustView { generation: next_generation(), roots: Arc::clone(&next.roots) });
    }

    /// A number that grows with every replacement.
    pub fn generation(&self) -> u64 {
        self.0.load().generation
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
            .field("domains", &view.roots.domains().map(TrustDomain::as_str).collect::<Vec<_>>())
            .field("authorities", &view.roots.authorities().collect::<Vec<_>>())
            .finish()
    }
}

/// The roots of one generation.
pub(crate) struct TrustView {
    pub(crate) generation: u64,
    pub(crate) roots: Arc<Roots>,
}

fn next_generation() -> u64 {
    GENERATIONS.fetch_add(1, Ordering::Relaxed)
}
