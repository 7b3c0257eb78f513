//~ E0423
pub fn forge() -> ztlib_axum::GuardedRouter {
    ztlib_axum::GuardedRouter(todo!())
}
