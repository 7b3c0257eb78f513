#include "json.h"

#include <stdlib.h>
#include <string.h>

policy_string_t text(const char *literal) {
    return (policy_string_t){(uint8_t *)literal, strlen(literal)};
}

bool equal(policy_string_t a, policy_string_t b) {
    if (a.len != b.len) return false;
    for (size_t at = 0; at < a.len; at++) {
        if (a.ptr[at] != b.ptr[at]) return false;
    }
    return true;
}

policy_string_t join(policy_string_t a, policy_string_t b, policy_string_t c) {
    uint8_t *joined = malloc(a.len + b.len + c.len);
    memcpy(joined, a.ptr, a.len);
    memcpy(joined + a.len, b.ptr, b.len);
    memcpy(joined + a.len + b.len, c.ptr, c.len);
    return (policy_string_t){joined, a.len + b.len + c.len};
}

void json_fail(struct json *json, policy_string_t error) {
    if (!json->error.ptr) json->error = error;
    json->at = json->end;
}

// The next character behind white space; 0 at the end.
static uint8_t peek(struct json *json) {
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r')) json->at++;
    return json->at < json->end ? *json->at : 0;
}

static bool accept(struct json *json, uint8_t character) {
    if (peek(json) != character) return false;
    json->at++;
    return true;
}

bool json_object(struct json *json) {
    if (accept(json, '{')) return true;
    json_fail(json, text("an object is expected"));
    return false;
}

bool json_member(struct json *json, policy_string_t *name) {
    if (json->error.ptr || accept(json, '}')) return false;
    accept(json, ',');
    *name = json_text(json);
    if (!json->error.ptr && !accept(json, ':')) json_fail(json, text("`:` is expected after the name of a member"));
    return !json->error.ptr;
}

policy_string_t json_text(struct json *json) {
    static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    if (!accept(json, '"')) json_fail(json, text("a string is expected"));
    // An escape is longer than what it stands for, so the string fits where it lay.
    uint8_t *start = json->at, *to = json->at;
    while (json->at < json->end && *json->at != '"') {
        uint8_t character = *json->at++;
        if (character == '\\') {
            uint8_t wanted = json->at < json->end ? *json->at++ : 0;
            size_t at = 0;
            while (at < sizeof escapes - 1 && (uint8_t)escapes[at] != wanted) at += 2;
            if (at >= sizeof escapes - 1) {
                json_fail(json, text("an escape of this kind stands in no configuration of this policy"));
                break;
            }
            character = (uint8_t)escapes[at + 1];
        }
        *to++ = character;
    }
    if (!json->error.ptr && !accept(json, '"')) json_fail(json, text("a string does not end"));
    if (!json->error.ptr && to == start) json_fail(json, text("the string is empty"));
    return (policy_string_t){start, (size_t)(to - start)};
}

uint32_t json_number(struct json *json) {
    uint64_t number = 0;
    uint8_t digit = peek(json);
    if (digit < '0' || digit > '9') json_fail(json, text("a whole number is expected"));
    for (; json->at < json->end && *json->at >= '0' && *json->at <= '9'; json->at++) {
        number = number * 10 + (*json->at - '0');
        if (number > UINT32_MAX) json_fail(json, text("the number is too large"));
    }
    return (uint32_t)number;
}

bool json_end(struct json *json) {
    if (peek(json)) json_fail(json, text("something stands behind the configuration"));
    return !json->error.ptr;
}
