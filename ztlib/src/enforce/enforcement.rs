//! Where refusals are carried out: everywhere, nowhere, or on some routes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::matched::beginning;

/// After so many requests, the named routes that none of them met are logged.
const REQUESTS: u32 = 1000;

/// Where a guard refuses, and where it only reports that it would have.
#[derive(Debug)]
pub(super) enum Enforcement {
    Everywhere,
    Nowhere,
    On(Routes),
}

/// The routes on which a guard refuses.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Each template says whether a request has met it.
    templates: BTreeMap<Box<str>, AtomicBool>,
    requests: AtomicU32,
}

impl Enforcement {
    /// Only observes, except on the routes that are named already.
    pub(super) fn observing(self) -> Self {
        match self {
            Self::Everywhere | Self::Nowhere => Self::Nowhere,
            Self::On(routes) => Self::On(routes),
        }
    }

    /// Only observes, except on these routes and those that are named already: whatever the order of
    /// the calls, naming a route never refuses less.
    pub(super) fn observing_except<T: AsRef<str>>(self, templates: impl IntoIterator<Item = T>) -> Self {
        let mut routes = match self {
            Self::On(routes) => routes,
            Self::Everywhere | Self::Nowhere => Routes::default(),
        };
        let kept = templates.into_iter().map(|template| beginning(template.as_ref()).into());
        routes.templates.extend(kept.map(|template: Box<str>| (template, AtomicBool::default())));
        if routes.templates.is_empty() { Self::Nowhere } else { Self::On(routes) }
    }

    /// Whether a refusal on this route is carried out.
    pub(super) fn is_enforced(&self, route: Option<&str>) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Nowhere => false,
            Self::On(routes) => routes.meet(route),
        }
    }

    /// The named routes that no request has met.
    pub(super) fn not_met(&self) -> Vec<&str> {
        match self {
            Self::Everywhere | Self::Nowhere => Vec::new(),
            Self::On(routes) => routes.not_met(),
        }
    }

    /// The named routes.
    pub(super) fn named(&self) -> Vec<&str> {
        match self {
            Self::Everywhere | Self::Nowhere => Vec::new(),
            Self::On(routes) => routes.templates.keys().map(AsRef::as_ref).collect(),
        }
    }
}

impl Routes {
    fn meet(&self, route: Option<&str>) -> bool {
        let met = route.and_then(|route| self.templates.get(route));
        if let Some(met) = met.filter(|met| !met.load(Ordering::Relaxed)) {
            met.store(true, Ordering::Relaxed);
        }
        // It stops counting there, so that it never wraps.
        if self.requests.load(Ordering::Relaxed) < REQUESTS
            && self.requests.fetch_add(1, Ordering::Relaxed) + 1 == REQUESTS
        {
            let not_met = self.not_met();
            if !not_met.is_empty() {
                tracing::warn!(
                    target: "ztlib::guard", routes = ?not_met,
                    "no request has met these routes, on which refusals are to be carried out: check their spelling"
                );
            }
        }
        met.is_some()
    }

    fn not_met(&self) -> Vec<&str> {
        let not_met = self.templates.iter().filter(|(_, met)| !met.load(Ordering::Relaxed));
        not_met.map(|(template, _)| &**template).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_routes_are_enforced_and_those_not_met_are_told() {
        let some = Enforcement::Everywhere.observing_except(["/orders/{id}", "/orders/:id"]);
        assert!(!some.is_enforced(None));
        assert!(!some.is_enforced(Some("/orders")));
        assert_eq!(some.not_met(), ["/orders/:id", "/orders/{id}"]);
        assert!(some.is_enforced(Some("/orders/{id}")));
        // Written as another framework would: no route has this template.
        assert_eq!(some.not_met(), ["/orders/:id"]);
        assert!(Enforcement::Everywhere.is_enforced(None));
        assert!(!Enforcement::Nowhere.is_enforced(Some("/orders/{id}")));
    }

    #[test]
    fn naming_more_routes_never_refuses_less_whatever_the_order() {
        let begin = || Enforcement::Everywhere.observing_except(["/a"]);
        for named in [begin().observing_except(["/b"]), begin().observing_except(["/b"]).observing()] {
            assert!(named.is_enforced(Some("/a")) && named.is_enforced(Some("/b")));
            assert!(!named.is_enforced(Some("/c")));
        }
        let after = Enforcement::Everywhere.observing().observing_except(["/a"]);
        assert!(after.is_enforced(Some("/a")) && !after.is_enforced(Some("/b")));
        // To name nothing is to observe everywhere, and is told as that.
        let nothing = Enforcement::Everywhere.observing_except([""; 0]);
        assert!(matches!(nothing, Enforcement::Nowhere));
    }

    #[test]
    fn the_count_of_requests_ends() {
        let some = Enforcement::Everywhere.observing_except(["/a"]);
        for _ in 0..REQUESTS + 10 {
            assert!(!some.is_enforced(None));
        }
        let Enforcement::On(routes) = &some else { panic!("{some:?}") };
        assert_eq!(routes.requests.load(Ordering::Relaxed), REQUESTS);
    }
}
