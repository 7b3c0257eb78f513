//~ E0616
pub fn alter(permit: ztlib::enforce::Permit) {
    let _ = permit.0;
}
