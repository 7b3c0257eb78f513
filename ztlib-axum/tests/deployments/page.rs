//! The page shows what is tested.

use std::path::Path;

/// What stands between each pair of marks.
fn shown(source: &str) -> Vec<String> {
    let blocks = source.split("// page: from here\n").skip(1);
    blocks.map(|rest| rest.split("\n// page: to here").next().unwrap().to_owned()).collect()
}

#[test]
fn the_page_shows_the_lines_that_are_tested() {
    let beside = |path| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path));
    let read = (beside("docs/deployments.md"), beside("ztlib-tonic/tests/behind_a_mesh.rs"));
    let (Ok(page), Ok(tonic)) = read else {
        eprintln!("skipped: the repository's page is not beside this crate");
        return;
    };
    let blocks: Vec<&str> =
        page.split("```rust\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    let tested = [
        ("with_ztlib", shown(include_str!("with_ztlib.rs"))),
        ("behind_a_mesh", shown(include_str!("behind_a_mesh.rs"))),
        ("behind_a_mesh of ztlib-tonic", shown(&tonic)),
        ("with_axum_server", shown(include_str!("with_axum_server.rs"))),
        ("one_port", shown(include_str!("one_port.rs"))),
        ("unix_socket", shown(include_str!("../../examples/deployments/unix_socket.rs"))),
        ("behind_a_balancer", shown(include_str!("../../examples/deployments/behind_a_balancer.rs"))),
        ("browser", shown(include_str!("../../examples/deployments/browser.rs"))),
        ("probes", shown(include_str!("probes.rs"))),
        ("shutdown", shown(include_str!("shutdown.rs"))),
        ("layers", shown(include_str!("layers.rs"))),
    ];
    for (name, shown) in &tested {
        assert!(!shown.is_empty(), "{name} shows nothing");
        for lines in shown {
            assert!(
                blocks.contains(&lines.as_str()),
                "the page does not show these lines of {name}:\n{lines}"
            );
        }
    }
    let shown: usize = tested.iter().map(|(_, shown)| shown.len()).sum();
    assert_eq!(blocks.len(), shown, "a block of the page is not tested");
}
