//! Signals: facts that the service supplies while it runs (risk, maintenance, device posture).

use std::fmt;

use super::facts::Caller;

/// Supplies signals. It is asked within a request, at most once a name and request, so it must
/// answer from memory: whatever has to be fetched is fetched beforehand.
///
/// ```
/// use ztlib::authorize::{Caller, SignalError, SignalSource};
///
/// struct Risk;
/// impl SignalSource for Risk {
///     fn signal(&self, name: &str, _about: &Caller) -> Result<Option<String>, SignalError> {
///         match name {
///             "risk" => Ok(Some("3".to_owned())),
///             // Not "absent": nobody knows. The request is refused as a fault.
///             _ => Err(SignalError::new("no feed for this signal")),
///         }
///     }
/// }
/// assert!(Risk.signal("weather", &Caller::default()).is_err());
/// ```
pub trait SignalSource: Send + Sync + 'static {
    /// The signal's value for this caller; `None` means *known to be absent*.
    ///
    /// # Errors
    /// Where the value cannot be had. The request is then refused as a fault, never judged as if
    /// the signal were absent.
    fn signal(&self, name: &str, about: &Caller) -> Result<Option<String>, SignalError>;
}

/// Why a signal could not be had. The text goes to the operator, never to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalError(String);

impl SignalError {
    /// An error with a text for the operator.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for SignalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SignalError {}
