//~ E0423
pub fn forge() -> ztlib::enforce::Permit {
    ztlib::enforce::Permit(todo!())
}
