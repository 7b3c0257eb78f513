//! Of the lists of one issuer and one scope the later counts, and what is contradictory never opens
//! anything.

use ztlib_testing::RevocationListDraft;

use super::*;

/// An earlier and a later list; what each is, besides naming the peer or not.
fn pair(
    first: impl Fn(RevocationListDraft<'_>) -> RevocationListDraft<'_>,
    second: impl Fn(RevocationListDraft<'_>) -> RevocationListDraft<'_>,
) -> [&'static str; 2] {
    let verdicts = KINDS.map(|kind| {
        let root = Authority::new("root");
        let peer = kind.leaf(&root).issue();
        let naming = |list: RevocationListDraft<'_>| list.revoking(&peer.certificate()).sign();
        [
            verdict(kind, [&root], &[naming(first(root.list())), second(root.list()).sign()], &peer),
            verdict(kind, [&root], &[first(root.list()).sign(), naming(second(root.list()))], &peer),
        ]
    });
    assert_eq!(verdicts[0], verdicts[1]);
    verdicts[0]
}

fn dated(list: RevocationListDraft<'_>, day: i64) -> RevocationListDraft<'_> {
    list.between(days(day), days(3))
}

#[test]
fn the_later_of_two_lists_of_one_scope_counts() {
    // What the first names, the second has left out; and the other way round.
    let later_counts = [IN, "revoked"];
    assert_eq!(pair(|one| one.number(1), |two| two.number(2)), later_counts);
    assert_eq!(pair(|one| dated(one.number(1), -3), |two| dated(two.number(2), -2)), later_counts);
    assert_eq!(
        pair(|one| dated(one.without_number(), -3), |two| dated(two.without_number(), -2)),
        later_counts
    );
    assert_eq!(pair(|one| dated(one.number(9), -3), |two| dated(two.without_number(), -2)), later_counts);
    // Numbers are compared as numbers, of up to 20 bytes and more.
    assert_eq!(pair(|one| one.long_number(&[2]), |two| two.long_number(&[1, 0])), later_counts);
    assert_eq!(pair(|one| one.long_number(&[0, 0xff]), |two| two.long_number(&[1; 20])), later_counts);
    assert_eq!(pair(|one| one.only_users().number(1), |two| two.only_users().number(2)), later_counts);
}

#[test]
fn of_two_lists_whose_order_is_not_clear_both_count() {
    let both_count = ["revoked", "revoked"];
    // One number and one time; one number and two times; two numbers in the other order than the
    // times; no number.
    assert_eq!(pair(|one| one, |two| two), both_count);
    assert_eq!(pair(|one| dated(one, -3), |two| dated(two, -2)), both_count);
    assert_eq!(pair(|one| dated(one.number(1), -2), |two| dated(two.number(2), -3)), both_count);
    assert_eq!(pair(|one| one.without_number(), |two| two.without_number()), both_count);
    assert_eq!(pair(|one| one.number(1), |two| two.without_number()), both_count);
    // Of different scope.
    assert_eq!(pair(|one| one.number(1), |two| two.number(2).only_users()), both_count);
    assert_eq!(pair(|one| one.number(1).only_users(), |two| two.number(2)), both_count);
}

#[test]
fn a_list_that_is_repeated_is_one_list() {
    let root = Authority::new("root");
    let (good, bad) = (Kind::Domain.leaf(&root).issue(), Kind::Domain.leaf(&root).issue());
    let list = root.list().revoking(&bad.certificate()).sign();
    assert_eq!(verdict(Kind::Domain, [&root], &[list.clone(), list.clone()], &good), IN);
    assert_eq!(verdict(Kind::Domain, [&root], &[list.clone(), list], &bad), "revoked");
}

#[test]
fn serial_numbers_are_compared_as_unsigned_numbers() {
    let root = Authority::new("root");
    let peer = |serial: &[u8]| Kind::Domain.leaf(&root).serial(serial).issue();
    let ask = |serial: &[u8], named: &[u8]| {
        let list = root.list().revoking_serial(&[0x77]).revoking_serial(named).revoking_serial(&[0x55]);
        verdict(Kind::Domain, [&root], &[list.sign()], &peer(serial))
    };
    assert_eq!(ask(&[5], &[5]), "revoked");
    assert_eq!(ask(&[5], &[0, 0, 5]), "revoked");
    assert_eq!(ask(&[5], &[5, 0]), IN);
    assert_eq!(ask(&[5], &[6]), IN);
    // An authority that leaves out the leading zero writes a negative number and means the other.
    assert_eq!(ask(&[0xff], &[0xff]), "revoked");
    assert_eq!(ask(&[0xff], &[0, 0xff]), "revoked");
    assert_eq!(ask(&[0x7f; 20], &[0x7f; 20]), "revoked");
    assert_eq!(ask(&[0x7f; 20], &[0x7f; 21]), IN);
    assert_eq!(ask(&[5], &[0]), IN);
    assert_eq!(ask(&[5], &[]), IN);
}

#[test]
fn an_entry_revokes_whatever_its_reason_and_date() {
    const REASON: [u8; 3] = [0x55, 0x1d, 21];
    const INVALIDITY_DATE: [u8; 3] = [0x55, 0x1d, 24];
    let root = Authority::new("root");
    let peer = Kind::Domain.leaf(&root).serial(&[5]).issue();
    // Unspecified, on hold, removed (which has a meaning in delta lists alone), one that is not
    // defined.
    for reason in [0, 6, 8, 99] {
        for critical in [false, true] {
            let list = root.list().revoking_with_extension(&[5], &REASON, critical, &[0x0a, 1, reason]);
            assert_eq!(verdict(Kind::Domain, [&root], &[list.sign()], &peer), "revoked", "{reason}");
        }
    }
    let date = b"\x18\x0f20990101000000Z";
    let list = root.list().revoking_with_extension(&[5], &INVALIDITY_DATE, false, date);
    assert_eq!(verdict(Kind::Domain, [&root], &[list.sign()], &peer), "revoked");
    // One that is not known and not critical.
    let list = root.list().revoking_with_extension(&[5], &[0x2a, 3], false, &[5, 0]);
    assert_eq!(verdict(Kind::Domain, [&root], &[list.sign()], &peer), "revoked");
}

#[test]
fn each_of_many_entries_is_found() {
    let root = Authority::new("root");
    let mut list = root.list();
    for serial in 0..2000_u16 {
        // Neither in order nor of one length.
        list = list.revoking_serial(&[&[1], (serial.wrapping_mul(7919)).to_be_bytes().as_slice()].concat());
    }
    let trust = Kind::Domain.given([&root], [list.sign()]).build().unwrap();
    for serial in [0_u16, 1, 999, 1999] {
        let serial = [&[1], serial.wrapping_mul(7919).to_be_bytes().as_slice()].concat();
        assert_eq!(code(&trust, &Kind::Domain.leaf(&root).serial(&serial).issue(), a_day()), "revoked");
    }
    assert_eq!(code(&trust, &Kind::Domain.leaf(&root).serial(&[2, 1, 1]).issue(), a_day()), IN);
}
