//! ztlib-axum
