//~ E0599
pub fn adds(guarded: ztlib_axum::GuardedRouter) {
    let _ = guarded.route("/behind", todo!());
}
