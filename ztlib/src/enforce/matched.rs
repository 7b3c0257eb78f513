//! What the router found. Adapters pass it to the guard.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::respond::Protocol;
use crate::authorize::Params;

/// What the router found for a request: the template of the route, its decoded parameters, and the
/// path before any nested router removed a prefix. An adapter puts it into the request's
/// extensions, inside of the router and outside of the guard.
///
/// Without it the policies see no route, and no rule on a route matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchedRoute {
    pub(crate) template: Option<Arc<str>>,
    pub(crate) params: Params,
    pub(crate) path: Option<Box<str>>,
    pub(crate) protocol: Protocol,
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

    /// Adds a parameter, decoded exactly as handlers receive it.
    #[must_use]
    pub fn with_param(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.params.push(name.as_ref(), value.as_ref());
        self
    }

    /// The protocol in which the route is served; HTTP by default. A route served in gRPC is
    /// refused as gRPC if the request can be a gRPC call: a POST over HTTP/2 with a gRPC content
    /// type. The caller must never choose this, so set it only for what really serves gRPC.
    ///
    /// ```
    /// use ztlib::enforce::{MatchedRoute, Protocol};
    /// let cancel = MatchedRoute::new("/shop.Orders/Cancel").served_in(Protocol::Grpc);
    /// # let _ = cancel;
    /// ```
    #[must_use]
    pub fn served_in(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Adds the path as the outermost router saw it.
    #[must_use]
    pub fn with_original_path(mut self, path: impl Into<Box<str>>) -> Self {
        self.path = Some(path.into());
        self
    }
}

/// Warns the service's author, once, of a template that names a parameter twice.
fn tell_of_repeated_names(template: &str) {
    static TOLD: Mutex<BTreeSet<Box<str>>> = Mutex::new(BTreeSet::new());
    if !repeats_a_name(template) {
        return;
    }
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() < KEPT && told.insert(template.into()) {
        tracing::error!(
            target: "ztlib::guard", ?template,
            "the route names a parameter twice: a policy that reads it refuses every request; rename one"
        );
    }
}

/// The name of `{*rest}` is `rest`. `{{` is a literal brace and begins no parameter.
fn repeats_a_name(template: &str) -> bool {
    let template = template.replace("{{", "");
    let parts = || template.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let names = || parts().map(|(name, _)| name.trim_start_matches('*'));
    names().enumerate().any(|(at, name)| names().take(at).any(|other| other == name))
}

/// How many templates a thread keeps, so that a request need not copy one: the routes of a service
/// are few.
const KEPT: usize = 64;
const MAX_KEPT_BYTES: usize = 256;

/// The template, shared with earlier requests of this thread.
fn shared(template: &str) -> Arc<str> {
    thread_local! {
        static TEMPLATES: RefCell<[Option<Arc<str>>; KEPT]> = const { RefCell::new([const { None }; KEPT]) };
    }
    let share = || {
        tell_of_repeated_names(template);
        Arc::from(template)
    };
    if template.len() > MAX_KEPT_BYTES {
        return share();
    }
    // Only a hint of where to look; whatever is found there is compared.
    let hint = template
        .bytes()
        .rev()
        .take(8)
        .fold(template.len(), |hint, byte| hint.wrapping_mul(31).wrapping_add(usize::from(byte)));
    let kept = TEMPLATES.try_with(|kept| match kept.borrow_mut().get_mut(hint % KEPT) {
        Some(Some(known)) if **known == *template => known.clone(),
        Some(place) => place.insert(share()).clone(),
        None => share(),
    });
    // During thread shutdown the thread-local is gone: fall back to an unshared copy.
    kept.unwrap_or_else(|_| share())
}

/// The longest path, the longest route and the longest action that is kept for an audit event, in
/// bytes; it is shown cut.
pub(super) const MAX_KEPT_PATH: usize = 512;

/// What is kept of a path, a route or an action.
pub(super) fn beginning(path: &str) -> &str {
    path.split_at(path.floor_char_boundary(MAX_KEPT_PATH)).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_seen_in_every_form_of_a_template() {
        for twice in ["/same/{id}/{id}", "/wild/{id}/{*id}", "/{a}/{id}/x/{id}", "/{{{id}/{id}"] {
            assert!(repeats_a_name(twice), "{twice}");
        }
        for once in ["/", "/orders/{id}", "/{id}/{ids}", "/{a}/{*id}", "/{{id}}/{id}", "/{id}/{{id}}"] {
            assert!(!repeats_a_name(once), "{once}");
        }
    }

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
