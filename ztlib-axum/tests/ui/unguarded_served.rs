//~ E0308
pub fn serves() {
    let _ = ztlib_axum::serve(todo!(), (), std::future::pending());
}
