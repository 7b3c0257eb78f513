//! Labels: what the application says about a request or an object.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What the application attaches to a request or to a question of its own: classification, owner,
/// tenant.
///
/// To a question of its own they are given with it (`Guard::ask`). To
/// a request a layer outside of the guard attaches them: it inserts `Labels` into the
/// request's extensions, where the guard looks for them.
///
/// ```
/// use ztlib::authorize::Labels;
/// let labels = Labels::new().with("owner", "alice").with("classification", "internal");
/// assert_eq!(labels.label("owner"), Some("alice"));
/// assert_eq!(labels.label("Owner"), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Option<Arc<BTreeMap<Box<str>, Arc<str>>>>);

impl Labels {
    /// No labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more; a label of the same name is replaced.
    #[must_use]
    pub fn with(mut self, name: impl Into<Box<str>>, value: impl Into<Arc<str>>) -> Self {
        Arc::make_mut(self.0.get_or_insert_default()).insert(name.into(), value.into());
        self
    }

    /// The names of the labels, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|labels| labels.keys()).map(AsRef::as_ref)
    }

    /// Names and values, sorted by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|labels| labels.iter()).map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Its bytes, for bounds.
    pub fn size(&self) -> usize {
        self.0
            .iter()
            .flat_map(|labels| labels.iter())
            .map(|(name, value)| name.len() + value.len() + 64)
            .sum()
    }

    /// The label of this name.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.get(name).map(AsRef::as_ref)
    }
}
