//! On a unix socket: policies learn which user's process calls.

use std::os::unix::fs::MetadataExt as _;
use tokio::net::{UnixListener, UnixStream};

use crate::{Caller, House, VERSIONS, empty, exchange, says, told};

#[path = "../../examples/deployments/unix_socket.rs"]
mod lines;

use lines::serve;

#[tokio::test]
async fn on_a_unix_socket_policies_see_the_callers_user_and_no_address() {
    let house = House::new();
    let path = std::env::temp_dir().join(format!("ztlib-deployments-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let own = std::fs::metadata(&path).unwrap().uid().to_string();
    tokio::spawn(serve(house.tokens(), house.policies(), listener));
    for version in VERSIONS {
        let ask = async |subject| {
            let stream = UnixStream::connect(&path).await.unwrap();
            told(&exchange(stream, empty(house.get(version, "/orders/7", subject))).await)
        };
        assert_eq!(ask(Some("alice")).await, says(200, "an order"), "{version:?}");
        assert_eq!(house.seen(), [Caller { user_id: Some(own.clone()), ..Caller::alice() }]);
        assert_eq!(ask(Some("bob")).await, says(403, "no-role"));
        assert_eq!(ask(None).await, says(401, "unauthenticated"));
        house.seen();
    }
    std::fs::remove_file(path).unwrap();
}
