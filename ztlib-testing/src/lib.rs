//! ztlib-testing
