//~ compiles
pub fn layered(guarded: ztlib_axum::GuardedRouter) -> ztlib_axum::GuardedRouter {
    let _ = ztlib_axum::serve(todo!(), guarded.clone(), std::future::pending());
    guarded
}
