//! Where refusals are carried out: everywhere, nowhere, or on some routes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::matched::beginning;

/// Where a guard refuses, and where it only reports that it would have.
#[derive(Debug)]
pub(super) enum Enforcement {
    Everywhere,
    Nowhere,
    /// On the routes with these templates. Each says whether a request has met it.
    On(BTreeMap<Box<str>, AtomicBool>),
}

impl Enforcement {
    pub(super) fn on<T: AsRef<str>>(templates: impl IntoIterator<Item = T>) -> Self {
        let kept = |template: T| (beginning(template.as_ref()).into(), AtomicBool::default());
        Self::On(templates.into_iter().map(kept).collect())
    }

    /// Whether a refusal on this route is carried out.
    pub(super) fn is_enforced(&self, route: Option<&str>) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Nowhere => false,
            Self::On(templates) => {
                let met = route.and_then(|route| templates.get(route));
                if let Some(met) = met.filter(|met| !met.load(Ordering::Relaxed)) {
                    met.store(true, Ordering::Relaxed);
                }
                met.is_some()
            }
        }
    }

    /// The named routes that no request has met.
    pub(super) fn not_met(&self) -> Vec<&str> {
        let Self::On(templates) = self else { return Vec::new() };
        let not_met = templates.iter().filter(|(_, met)| !met.load(Ordering::Relaxed));
        not_met.map(|(template, _)| &**template).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_routes_are_enforced_and_those_not_met_are_told() {
        let some = Enforcement::on(["/orders/{id}", "/orders/:id"]);
        assert!(!some.is_enforced(None));
        assert!(!some.is_enforced(Some("/orders")));
        assert_eq!(some.not_met(), ["/orders/:id", "/orders/{id}"]);
        assert!(some.is_enforced(Some("/orders/{id}")));
        // Written as another framework would: no route has this template.
        assert_eq!(some.not_met(), ["/orders/:id"]);
        assert!(Enforcement::Everywhere.is_enforced(None));
        assert!(!Enforcement::Nowhere.is_enforced(Some("/orders/{id}")));
    }
}
