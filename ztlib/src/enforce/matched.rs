//! What the router found: adapters leave it in the request for the guard.

use std::sync::Arc;

/// What the router found for a request: the template of the route, its parameters decoded, and the path before any nested router
/// took a prefix off. An adapter leaves it in the extensions of the request, inside of the router and outside of the guard.
///
/// Without it the policies see no route, and no route matches no rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchedRoute {
    pub(crate) template: Option<Arc<str>>,
    pub(crate) params: Vec<(Box<str>, Box<str>)>,
    pub(crate) path: Option<Box<str>>,
}

impl MatchedRoute {
    /// No route matched.
    pub fn none() -> Self {
        Self::default()
    }

    /// The route with this template matched: `/orders/{id}`, `/shop.Orders/Cancel`.
    pub fn new(template: impl Into<Arc<str>>) -> Self {
        Self { template: Some(template.into()), ..Self::default() }
    }

    /// The same with one more parameter, decoded exactly as handlers get it.
    #[must_use]
    pub fn with_param(mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// The same with the path as the outermost router saw it.
    #[must_use]
    pub fn with_original_path(mut self, path: impl Into<Box<str>>) -> Self {
        self.path = Some(path.into());
        self
    }
}
