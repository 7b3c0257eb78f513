//! A question of the application's own, as a handler asks it.

use std::sync::Arc;

use crate::authorize::Labels;
use crate::observe::Object;

/// A question of the application's own: what is to be done, to which object, and what the
/// application knows of that object.
///
/// The action and the labels are what policies see. The object is for the audit event alone, so
/// that it can be said later who did what to which one; a policy that decides by the object's id is
/// given it as a label, too.
///
/// ```
/// use ztlib::authenticate::Principal;
/// use ztlib::authorize::Labels;
/// use ztlib::enforce::{Ask, Guard, Permit, Refusal};
///
/// fn may_cancel(
///     guard: &Guard,
///     who: &Principal,
///     order: u64,
///     owner: &str,
/// ) -> Result<Permit, Refusal> {
///     let labels = Labels::new().with("owner", owner);
///     guard.ask_about(
///         who,
///         Ask::new("orders.cancel").object("order", order.to_string()).labels(labels),
///     )
/// }
/// ```
///
/// Asked about the principal of a request's permit, it leaves an event that names the request as
/// its [`parent`](crate::observe::AuditEvent::parent).
#[derive(Clone)]
pub struct Ask {
    pub(super) action: Arc<str>,
    pub(super) object: Option<(Arc<str>, Arc<str>)>,
    pub(super) labels: Labels,
}

impl Ask {
    /// May this be done? The action is a name that the policies know: `orders.cancel`.
    pub fn new(action: impl Into<Arc<str>>) -> Self {
        Self { action: action.into(), object: None, labels: Labels::new() }
    }

    /// What it is to be done to: a kind, and an id among those of its kind. They stand in the audit
    /// event, escaped and each cut to 512 bytes: no place for a secret.
    #[must_use]
    pub fn object(mut self, kind: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        self.object = Some((kind.into(), id.into()));
        self
    }

    /// What the application knows of it, in place of what was given before.
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// The object as an event keeps it.
    pub(super) fn kept_object(&self, cut: impl Fn(&str) -> &str) -> Option<Box<Object>> {
        let (kind, id) = self.object.as_ref()?;
        Some(Box::new(Object { kind: cut(kind).into(), id: cut(id).into() }))
    }
}

/// Without what its labels say.
impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels: Vec<&str> = self.labels.names().collect();
        f.debug_struct("Ask")
            .field("action", &self.action)
            .field("object", &self.object)
            .field("labels", &labels)
            .finish()
    }
}
