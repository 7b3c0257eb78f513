//! authenticate/peer
