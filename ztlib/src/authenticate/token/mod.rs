//! authenticate/token
