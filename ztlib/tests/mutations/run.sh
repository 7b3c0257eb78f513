#!/usr/bin/env bash
# Takes each condition of the decision cache (SECURITY.md, T1 to T13), what hides labels in audit events (P8) and the bounds of HTTP/2
# (H2) away, one line at a time in a scratch copy, and shows that the test named for it fails:
#
#   ztlib/tests/mutations/run.sh           all of them
#   ztlib/tests/mutations/run.sh T5 T6     those of these conditions
#   ztlib/tests/mutations/run.sh --list    the table, without running anything
#   ztlib/tests/mutations/run.sh --aim     whether each still meets its line; nothing is built
#
# The copy is what is committed. It has a target folder of its own, target/mutants, so that no mutant is ever taken for the library:
# cargo gives both checkouts the same names. The first run builds all dependencies there, which takes minutes.
# A mutant whose line is gone, or that does not compile, is a failure too: code has moved, and the expression below has to follow.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
export CARGO_TARGET_DIR="$root/target/mutants" CARGO_TERM_COLOR=never

only=("$@")
failed=0 ran=0 scratch=
list=false aim=false
case ${1:-} in
    --list) list=true only=() ;;
    --aim) aim=true only=() ;;
esac

in_scratch() {
    if [ -n "$scratch" ]; then return; fi
    scratch=$(mktemp -d)
    git -C "$root" worktree add --quiet --detach "$scratch/ztlib" HEAD
    trap 'git -C "$root" worktree remove --force "$scratch/ztlib"; rm -rf "$scratch"' EXIT
}

cargo_test() {
    (cd "$scratch/ztlib" && timeout 900 cargo test --quiet --workspace --test "$1" "$2" "${@:3}") >"$scratch/log" 2>&1
}

# mutant CONDITION WHAT-IS-TAKEN-AWAY TEST-BINARY TEST [FILE SED-EXPRESSION]...
mutant() {
    local condition=$1 what=$2 binary=$3 test=$4 verdict
    shift 4
    if $list; then
        printf '| %s | %s | `%s` |\n' "$condition" "$what" "${test##*::}"
        return
    fi
    if [ ${#only[@]} -gt 0 ] && [[ " ${only[*]} " != *" $condition "* ]]; then return; fi
    in_scratch
    ran=$((ran + 1))
    git -C "$scratch/ztlib" checkout --quiet -- .
    if ! $aim && { ! cargo_test "$binary" "$test" || ! grep -q '^test result: ok. [1-9]' "$scratch/log"; }; then
        verdict='the test does not pass as it is'
    else
        verdict=
        while [ $# -gt 0 ]; do
            local file=$1 expression=$2
            shift 2
            sed -E -i "$expression" "$scratch/ztlib/ztlib/src/$file"
            if [ "$(git -C "$scratch/ztlib" diff --numstat -- "ztlib/src/$file" | cut -f 1,2)" != $'1\t1' ]; then
                verdict="not exactly one line of $file is changed"
            fi
        done
        if [ -z "$verdict" ] && $aim; then
            verdict=met
        elif [ -z "$verdict" ]; then
            if ! cargo_test "$binary" "$test" --no-run; then
                verdict='it does not compile'
                tail -n 20 "$scratch/log"
            elif cargo_test "$binary" "$test"; then
                verdict='SURVIVED'
            else
                verdict=caught
            fi
        fi
    fi
    [ "$verdict" = caught ] || [ "$verdict" = met ] || failed=$((failed + 1))
    printf '%-4s %-70s %s\n' "$condition" "$what" "$verdict"
}

sandbox=../../ztlib-wasm/src

mutant T1 'an instance is asked twice, and its second answer counts' \
    cache a_policy_that_keeps_state_says_the_same_whether_it_is_asked_or_remembered \
    $sandbox/evaluate.rs 's/let \(answer,\) = decide\.call\(&mut \*store, \(\)\)\?;/decide.call(\&mut *store, ())?; &/'

mutant T2 'imports are not looked at before linking' \
    sandbox an_import_of_wasi_is_refused_by_name \
    $sandbox/weigh/component.rs 's/check_import\(import\.name\.name\)\?;/let _ = check_import;/'

mutant T3 'NaN is as the processor makes it' \
    sandbox the_same_question_costs_and_reads_and_answers_the_same \
    $sandbox/engine.rs 's/cranelift_nan_canonicalization\(true\)/cranelift_nan_canonicalization(false)/'

mutant T3 'a memory that cannot grow says −1' \
    sandbox memory_that_cannot_grow_traps_and_never_tells \
    $sandbox/evaluate.rs 's/return Err\(Stop::Memory \{ wanted: desired, limit \}\.into\(\)\);/return Ok(false);/'

mutant T3 'a table that cannot grow says −1' \
    sandbox tables_that_cannot_grow_trap_and_never_tell \
    $sandbox/evaluate.rs 's/return Err\(Stop::Table \{ wanted: desired, limit \}\.into\(\)\);/return Ok(false);/'

mutant T3 'values that reads return cost no fuel' \
    sandbox what_a_read_returns_costs_fuel \
    $sandbox/contract.rs 's/pay\(&mut store, value\.size\(\) as u64\)\?;/let _ = value.size();/'

mutant T3 'several memories do not add up' \
    sandbox several_memories_share_one_budget \
    $sandbox/evaluate.rs 's/self\.used = wanted;/let _ = wanted;/'

mutant T3 'code compiled under a larger budget is taken' \
    sandbox code_that_was_compiled_under_a_larger_budget_is_held_to_the_smaller_one \
    $sandbox/evaluate.rs 's/compiled\.fits\(&budget\)\?;/let _ = compiled.fits(\&budget);/'

mutant T3 'starting an instance costs nothing' \
    bombs what_starts_slowly_costs_fuel_before_it_starts \
    $sandbox/evaluate.rs 's/checked_sub\(self\.compiled\.start_fuel\(\)\)/checked_sub(0 * self.compiled.start_fuel())/'

mutant T3 'what was cut off is a denial, and kept' \
    cache what_was_cut_off_is_never_remembered \
    authorize/set.rs 's/^( *)Err\(fault\) => Err\(fault\),/\1Err(_) => Ok(bare_denial(\&entry.name, "denied")),/'

# What the reader does not write down.
unrecorded() {
    mutant "$1" "$2" cache "$3" ../../ztlib-contract/src/reader.rs \
        "s/self\.trace\.record\(read, value\.clone\(\)\);/if !($4) { & }/"
}

unrecorded T4 'absence is not recorded' absence_is_a_read_and_what_appears_is_noticed 'value == Value::Absent'
unrecorded T4 'what was enumerated is not recorded' absence_is_a_read_and_what_appears_is_noticed \
    'matches!(read, Read::HeaderNames)'
unrecorded T5 'before(t) is not recorded' an_answer_that_hangs_on_time_changes_exactly_then_warm_and_both_ways \
    'matches!(read, Read::Before(_))'
unrecorded T5 'windows of time are not recorded' windows_logins_and_claims_hang_on_time_too 'matches!(read, Read::InWindow(_))'
unrecorded T6 'documents are not recorded' documents_labels_and_signals_are_reads 'matches!(read, Read::DataString(..))'
unrecorded T6 'labels are not recorded' documents_labels_and_signals_are_reads 'matches!(read, Read::Label(_))'
unrecorded T6 'signals are not recorded' documents_labels_and_signals_are_reads 'matches!(read, Read::Signal(_))'

mutant T6 'all sets have one root' \
    cache a_set_that_differs_in_anything_shares_no_entry_with_another \
    authorize/set.rs 's/^        self\.root$/        Digester::new("every set").finish()/'

mutant T7 'a token that was verified before is not looked at again' \
    cache an_expired_token_is_refused_though_its_decision_is_remembered \
    authenticate/token/cache.rs 's/if claims\.recheck\(now\)\.is_ok\(\) \{/if true {/' \
    authenticate/token/authenticator.rs 's/return claims\.recheck\(now\)\.is_ok\(\)\.then_some\(claims\);/return Some(claims);/'

mutant T8 'texts go into the key without their length' \
    cache values_that_are_equal_when_put_together_are_not_equal \
    ../../ztlib-contract/src/fact.rs 's/bytes\.extend_from_slice\(&\(text\.len\(\) as u64\)\.to_le_bytes\(\)\);/let _ = \&bytes;/'

mutant T8 'what this thread found last is taken without comparing it' \
    cache absence_is_a_read_and_what_appears_is_noticed \
    authorize/cache/front.rs 's/\.is_ok_and\(\|fact\| fact\.is\(value\)\)/.is_ok()/'

mutant T8 'every peer is the one for whom a trace was compared last' \
    cache a_peer_that_comes_to_lie_where_another_lay_is_read_anew \
    authorize/cache/front.rs 's/mark\.as_ptr\(\) == Arc::as_ptr\(facts\)/{ let _ = (mark, facts); true }/'

mutant T8 'what the home issuer is believed for is found for another' \
    issuers a_policy_that_was_compiled_before_allows_no_stranger \
    authorize/cache/mod.rs 's/= remembered\.filter\(stands\)/= remembered.filter(|_| true)/'

mutant T9 'a read that fails is an absence' \
    cache a_fault_is_never_remembered_and_a_failed_read_is_no_absence \
    ../../ztlib-contract/src/reader.rs 's/self\.question\.answer\(read, &self\.view\)\?;/self.question.answer(read, \&self.view).unwrap_or(Value::Absent);/'

mutant T9 'a fault is a denial, and kept' \
    cache a_fault_is_never_remembered_and_a_failed_read_is_no_absence \
    authorize/set.rs 's/^( *)Err\(fault\) => Err\(fault\),/\1Err(_) => Ok(bare_denial(\&entry.name, "denied")),/'

mutant T10 'the first value that was copied stays' \
    obligations callers_of_different_tenants_share_one_entry_and_get_their_own_header_each \
    ../../ztlib-contract/src/obligation.rs 's/let found = self\.source\.value\(question, view, id\);/static FIRST: std::sync::OnceLock<Result<Option<std::sync::Arc<str>>, crate::authorize::ReadFault>> = std::sync::OnceLock::new(); let found = FIRST.get_or_init(|| self.source.value(question, view, id)).clone();/'

mutant T11 'what a symbol stands for counts as read' \
    cache questions_that_differ_only_in_what_a_symbol_stands_for_share_an_entry \
    ../../ztlib-contract/src/reader.rs 's/self\.trace\.record\(read, value\.clone\(\)\);/let who = self.question.answer(\&Read::Subject, \&self.view)?; self.trace.record(Read::Subject, who); &/'

mutant T12 'a signal is asked each time it is read' \
    cache a_signal_is_asked_once_a_question_by_look_up_evaluation_and_storing_together \
    ../../ztlib-contract/src/question.rs 's/if self\.signals\.iter\(\)\.any\(.*\) \{/if false {/'

mutant T12 'what an older revision said is served after a reload' \
    cache a_look_up_in_flight_when_reload_returns_answers_nobody_who_comes_later \
    authorize/set.rs 's/^        self\.root$/        Digester::new("every set").finish()/'

mutant T13 'a policy may read while it is started and configured' \
    sandbox reading_or_saying_anything_before_decide_is_a_load_error \
    $sandbox/evaluate.rs 's/if (self\.deciding|matches!\(self\.phase, Phase::Deciding\)) \{/if true {/'

mutant T13 'sets with a native policy are remembered' \
    cache a_set_with_a_native_policy_is_asked_each_time \
    authorize/set.rs 's/entries\.iter\(\)\.all\(\|entry\| entry\.policy\.is_tracked\(\)\)/true/'

mutant P8 'what a policy read of a label is shown' \
    audit_trail labels_stand_in_the_event_by_the_rule_of_redaction \
    ../../ztlib-pattern/src/reads.rs 's/-> maybe_text, of Service Private, about Label name/-> maybe_text, of Service, about Label name/'

mutant P8 'the labels of an event are shown' \
    audit_trail labels_stand_in_the_event_by_the_rule_of_redaction \
    observe/audit.rs 's/is_shown\(name\)\.then\(\|\| cut\(value\)\)/Some(cut(value))/'

mutant H2 'peers of HTTP/2 are sent no pings' \
    server an_http2_peer_that_answers_no_ping_is_gone \
    tls/serve_connection.rs 's/\.keep_alive_interval\(limits\.ping_after\)/.keep_alive_interval(None)/'

mutant H2 'streams that a peer resets may pile up' \
    server streams_that_are_reset_faster_than_they_are_looked_at_end_the_connection \
    tls/serve_connection.rs 's/^const MAX_RESET_STREAMS: usize = 20;/const MAX_RESET_STREAMS: usize = usize::MAX;/'

mutant H2 'a peer may make us reset streams without end' \
    server streams_that_a_peer_makes_us_reset_end_the_connection \
    tls/serve_connection.rs 's/\.max_local_error_reset_streams\(MAX_ERROR_RESETS\)/.max_local_error_reset_streams(None)/'

if $list; then exit 0; fi
$aim && did="meet their line" || did="were caught"
echo "$((ran - failed)) of $ran mutants $did"
[ $failed -eq 0 ] && [ $ran -gt 0 ]
