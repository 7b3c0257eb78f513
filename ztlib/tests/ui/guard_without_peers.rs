//~ E0599
pub fn incomplete(policies: ztlib::policies::Policies) {
    let _ = ztlib::enforce::Guard::builder().policies(policies);
}
