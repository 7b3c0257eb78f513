//! The view: what a policy set brings to every question.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use http::HeaderName;

use super::documents::Documents;
use super::signals::SignalSource;

/// What the policy set brings to a question: the same for all requests of one revision.
#[derive(Clone, Default)]
pub struct View {
    /// The documents that the set declares.
    pub documents: Arc<Documents>,
    /// The names of the signals that it declares.
    pub declared_signals: Arc<BTreeSet<Box<str>>>,
    /// Headers that policies may not read, besides those that are secret everywhere.
    pub secret_headers: Arc<HashSet<HeaderName>>,
    /// Who supplies the signals.
    pub signal_source: Option<Arc<dyn SignalSource>>,
}

impl fmt::Debug for View {
    /// Without the documents, which may say who may do what.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("documents", &self.documents.0.len())
            .field("signals", &self.declared_signals)
            .field("secret_headers", &self.secret_headers)
            .finish_non_exhaustive()
    }
}
