//~ E0004
pub fn forgets(decision: ztlib::authorize::Decision) -> bool {
    match decision {
        ztlib::authorize::Decision::Allow(_) => true,
    }
}
