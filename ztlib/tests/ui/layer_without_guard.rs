//~ E0308
pub fn unguarded() {
    let _ = ztlib::enforce::GuardLayer::new(());
}
