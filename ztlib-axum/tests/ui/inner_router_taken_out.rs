//~ E0616
pub fn takes(guarded: ztlib_axum::GuardedRouter) {
    let _ = guarded.0;
}
