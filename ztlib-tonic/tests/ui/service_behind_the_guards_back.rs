//~ E0599
pub fn adds(routes: ztlib_tonic::GuardedRoutes) {
    let _ = routes.add_service(());
}
