//~ E0599
pub fn incomplete(policies: ztlib::policies::PolicyStore) {
    let _ = ztlib::enforce::Guard::builder().policies(policies);
}
