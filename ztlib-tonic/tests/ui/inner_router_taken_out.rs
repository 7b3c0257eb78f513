//~ E0616
pub fn takes(routes: ztlib_tonic::GuardedRoutes) {
    let _ = routes.0;
}
