// Roles for routes, in office hours, after a fresh login. What it is configured with, what it asks and what it says: ../README.md.
#include "json.h"

#define ALLOW EXPORTS_ZTLIB_POLICY_GUARD_ANSWER_ALLOW
#define DENY EXPORTS_ZTLIB_POLICY_GUARD_ANSWER_DENY

// A setting is a constant under its own name; the role that a route needs lies under "route " and the route's template.
static void put(policy_string_t key, const void *bytes, size_t size) {
    policy_list_u8_t value = {(uint8_t *)bytes, size};
    ztlib_policy_constants_put(&key, &value);
}

static bool get(policy_string_t key, policy_string_t *value) {
    policy_list_u8_t bytes;
    if (!ztlib_policy_constants_get(&key, &bytes)) return false;
    *value = (policy_string_t){bytes.ptr, bytes.len};
    return true;
}

static policy_string_t of_route(policy_string_t route) {
    return join(text("route "), route, text(""));
}

// The text before `mark`, and in `rest` the text behind it; false where there is none.
static bool split(policy_string_t from, char mark, policy_string_t *first, policy_string_t *rest) {
    for (size_t at = 0; at < from.len; at++) {
        if (from.ptr[at] != (uint8_t)mark) continue;
        *first = (policy_string_t){from.ptr, at};
        *rest = (policy_string_t){from.ptr + at + 1, from.len - at - 1};
        return true;
    }
    return false;
}

static policy_string_t trim(policy_string_t from) {
    while (from.len && from.ptr[0] == ' ') from.ptr++, from.len--;
    while (from.len && from.ptr[from.len - 1] == ' ') from.len--;
    return from;
}

// Minutes of `HH:MM`; -1 where it is none.
static int minutes_of(policy_string_t from) {
    if (from.len != 5 || from.ptr[2] != ':') return -1;
    for (size_t at = 0; at < 5; at++) {
        if (at != 2 && (from.ptr[at] < '0' || from.ptr[at] > '9')) return -1;
    }
    int minutes = (from.ptr[3] - '0') * 10 + from.ptr[4] - '0';
    int total = ((from.ptr[0] - '0') * 10 + from.ptr[1] - '0') * 60 + minutes;
    return minutes > 59 || total > 24 * 60 ? -1 : total;
}

static int day_of(policy_string_t from) {
    static const char *const days[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    int day = 0;
    while (day < 7 && !equal(from, text(days[day]))) day++;
    return day < 7 ? day : -1;
}

// Whether days and hours are what `in-window` takes: a wrong schedule is refused here, and not a fault of each request.
static bool is_window(policy_string_t window) {
    policy_string_t days, hours, from, to, item, first, last;
    if (!split(trim(window), ' ', &days, &hours) || !split(trim(hours), '-', &from, &to)) return false;
    if (minutes_of(from) < 0 || minutes_of(from) >= minutes_of(to)) return false;
    for (bool more = true; more;) {
        more = split(days, ',', &item, &days);
        if (!more) item = days;
        if (!split(item, '-', &first, &last)) first = last = item;
        if (day_of(first) < 0 || day_of(first) > day_of(last)) return false;
    }
    return true;
}

static bool is_schedule(policy_string_t schedule) {
    policy_string_t window;
    if (schedule.len > 2048) return false;
    while (split(schedule, ';', &window, &schedule)) {
        if (!is_window(window)) return false;
    }
    return is_window(schedule);
}

// Called once, when the policy is loaded.
bool exports_ztlib_policy_guard_configure(policy_list_u8_t *config, policy_string_t *error) {
    static const char *const names[] = {"hours", "max-age", "tenant-header", "routes"};
    bool there[4] = {false};
    struct json json = {config->ptr, config->ptr + config->len, {0}};
    policy_string_t name;
    if (!config->len) json_fail(&json, text("the policy needs a configuration: name one in the manifest"));
    for (bool open = json_object(&json); open && json_member(&json, &name);) {
        int which = 0;
        while (which < 4 && !equal(name, text(names[which]))) which++;
        if (which < 4) there[which] = true;
        switch (which) {
            case 0:
            case 2: {
                policy_string_t value = json_text(&json);
                if (which == 0 && !is_schedule(value)) json_fail(&json, join(text("hours: `"), value, text("` is no schedule, as in `mon-fri 08:00-18:00`")));
                put(name, value.ptr, value.len);
                break;
            }
            case 1: {
                uint32_t seconds = json_number(&json);
                put(name, &seconds, sizeof seconds);
                break;
            }
            case 3: {
                policy_string_t route;
                for (bool more = json_object(&json); more && json_member(&json, &route);) {
                    policy_string_t role = json_text(&json);
                    put(of_route(route), role.ptr, role.len);
                }
                break;
            }
            default:
                json_fail(&json, join(text("unknown member `"), name, text("`; known are: hours, max-age, tenant-header, routes")));
        }
    }
    json_end(&json);
    for (int which = 0; which < 4; which++) {
        if (!there[which]) json_fail(&json, join(text("the member `"), text(names[which]), text("` is missing")));
    }
    if (json.error.ptr) {
        *error = json.error;
        return false;
    }
    ztlib_policy_constants_seal();
    return true;
}

static exports_ztlib_policy_guard_answer_t deny(policy_string_t reason) {
    ztlib_policy_outcome_reason(&reason);
    return DENY;
}

static void say(policy_string_t message) {
    ztlib_policy_outcome_message(&message);
}

// Called for each question, in an instance that `configure` never saw.
exports_ztlib_policy_guard_answer_t exports_ztlib_policy_guard_decide(void) {
    policy_string_t route, role, hours, seconds, header;
    if (!ztlib_policy_request_route(&route) || !get(of_route(route), &role)) return deny(text("no-rule"));

    policy_string_t roles = text("/roles");
    // The roles of another issuer are other roles, whatever they are called.
    if (!ztlib_policy_principal_from_home_issuer() || !ztlib_policy_principal_claim_contains(&roles, &role)) {
        say(join(text("this needs the role `"), role, text("`")));
        return deny(text("no-role"));
    }
    // `configure` put these aside, or there would be no policy.
    if (!get(text("hours"), &hours) || !get(text("max-age"), &seconds) || !get(text("tenant-header"), &header)) __builtin_trap();

    if (!ztlib_policy_context_in_window(&hours)) {
        say(join(text("open "), hours, text(" (UTC)")));
        return deny(text("closed"));
    }
    uint32_t max_age;
    __builtin_memcpy(&max_age, seconds.ptr, sizeof max_age);
    if (!ztlib_policy_principal_authenticated_within(max_age)) {
        ztlib_policy_outcome_challenge_step_up(NULL, &max_age);
        return deny(text("login-too-old"));
    }
    policy_string_t tenant = text("{claim:/tenant}");
    ztlib_policy_outcome_copy_to_request_header(&header, &tenant);
    return ALLOW;
}
