//! What the router found: adapters tell the guard.

use std::cell::RefCell;
use std::sync::Arc;

use crate::authorize::Params;

/// What the router found for a request: the template of the route, its parameters decoded, and the path before any nested router
/// took a prefix off. An adapter leaves it in the extensions of the request, inside of the router and outside of the guard.
///
/// Without it the policies see no route, and no route matches no rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchedRoute {
    pub(crate) template: Option<Arc<str>>,
    pub(crate) params: Params,
    pub(crate) path: Option<Box<str>>,
}

impl MatchedRoute {
    /// No route matched.
    pub fn none() -> Self {
        Self::default()
    }

    /// The route with this template matched: `/orders/{id}`, `/shop.Orders/Cancel`.
    pub fn new(template: impl AsRef<str>) -> Self {
        Self { template: Some(shared(template.as_ref())), ..Self::default() }
    }

    /// The same with one more parameter, decoded exactly as handlers get it.
    #[must_use]
    pub fn with_param(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.params.push(name.as_ref(), value.as_ref());
        self
    }

    /// The same with the path as the outermost router saw it.
    #[must_use]
    pub fn with_original_path(mut self, path: impl Into<Box<str>>) -> Self {
        self.path = Some(path.into());
        self
    }
}

/// Templates that a thread keeps, and the longest: the routes of a service are few, and a request need not copy one.
const KEPT: usize = 64;
const MAX_KEPT_BYTES: usize = 256;

/// The template, shared with earlier requests of this thread.
fn shared(template: &str) -> Arc<str> {
    thread_local! {
        static TEMPLATES: RefCell<[Option<Arc<str>>; KEPT]> = const { RefCell::new([const { None }; KEPT]) };
    }
    if template.len() > MAX_KEPT_BYTES {
        return template.into();
    }
    // A hint of where to look; what is found is compared.
    let hint = template
        .bytes()
        .rev()
        .take(8)
        .fold(template.len(), |hint, byte| hint.wrapping_mul(31).wrapping_add(usize::from(byte)));
    let kept = TEMPLATES.try_with(|kept| match kept.borrow_mut().get_mut(hint % KEPT) {
        Some(Some(known)) if **known == *template => known.clone(),
        Some(place) => place.insert(template.into()).clone(),
        None => template.into(),
    });
    // A thread that is about to end keeps none any more.
    kept.unwrap_or_else(|_| template.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_shared_and_never_mixed_up() {
        for n in 0..1000 {
            let template = format!("/{}/{{id}}", n % 300);
            assert_eq!(&*shared(&template), template);
        }
        assert!(Arc::ptr_eq(&shared("/orders/{id}"), &shared("/orders/{id}")));
        let long = "x".repeat(MAX_KEPT_BYTES + 1);
        assert!(!Arc::ptr_eq(&shared(&long), &shared(&long)));
    }
}
