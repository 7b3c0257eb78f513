//! ztlib-tonic
