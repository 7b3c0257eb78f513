//! A question of the application's own, asked by a handler.

use std::sync::Arc;

use crate::authorize::Labels;
use crate::observe::Object;

/// A question of the application's own: the action, the object, and what the application knows
/// about that object.
///
/// Policies see the action and the labels. The object is only for the audit event, to record which
/// one was acted on. If a policy decides by the object's id, pass the id as a label too.
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
/// If the principal comes from a request's permit, the question's audit event names that request as
/// its [`parent`](crate::observe::AuditEvent::parent).
#[derive(Clone)]
pub struct Ask {
    pub(super) action: Arc<str>,
    pub(super) object: Option<(Arc<str>, Arc<str>)>,
    pub(super) labels: Labels,
}

impl Ask {
    /// Asks whether this action may be done. Its name is one that the policies know, such as
    /// `orders.cancel`.
    pub fn new(action: impl Into<Arc<str>>) -> Self {
        Self { action: action.into(), object: None, labels: Labels::new() }
    }

    /// The object of the action: its kind, and its id within that kind. Both appear in the audit
    /// event, escaped and cut to 512 bytes each, so neither may be a secret.
    #[must_use]
    pub fn object(mut self, kind: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        self.object = Some((kind.into(), id.into()));
        self
    }

    /// What the application knows about the object. Replaces labels given earlier.
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// The object as the event stores it.
    pub(super) fn kept_object(&self, cut: impl Fn(&str) -> &str) -> Option<Box<Object>> {
        let (kind, id) = self.object.as_ref()?;
        Some(Box::new(Object { kind: cut(kind).into(), id: cut(id).into() }))
    }
}

/// Leaves out the values of the labels.
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
