/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Time as the rest of the program sees it, and its text form. The clock that tests turn by hand
 * lives in the same two functions, so no caller needs to know whether time is real. That clock is
 * kept in atomics because worker threads may ask for the time while a test moves it.
 *
 * Times that come from CloudStack carry "+0000" without a colon; people and our own API write "Z".
 * Both are read.
 */
#include "base/clock.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static atomic_bool test_on;
static _Atomic int64_t test_mono, test_wall;
static _Atomic int64_t missed_ms;

/* The last time of a record, and the monotonic time at which it was the right one. */
static pthread_mutex_t record_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t record_ms = INT64_MIN, record_mono_ms;

static int64_t read_clock(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_mono_ms(void)
{
	return atomic_load(&test_on) ? atomic_load(&test_mono) : read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
	return atomic_load(&test_on) ? atomic_load(&test_wall) : read_clock(CLOCK_REALTIME);
}

int64_t clock_waking_ms(void)
{
	return clock_mono_ms() - atomic_load(&missed_ms);
}

int64_t clock_missed_ms(void)
{
	return atomic_load(&missed_ms);
}

void clock_add_missed(int64_t ms)
{
	assert(ms >= 0);
	atomic_fetch_add(&missed_ms, ms);
}

int64_t clock_record_ms(void)
{
	int64_t wall = clock_wall_ms(), mono = clock_mono_ms(), now, steps;

	pthread_mutex_lock(&record_lock);
	if (wall >= record_ms) {
		record_ms = wall;
		record_mono_ms = mono;
	} else if (mono > record_mono_ms) {
		/* If this time stood still, records of different ages would have the same time. */
		steps = (mono - record_mono_ms) / 2;
		record_ms = record_ms + steps < TIME_MAX_MS ? record_ms + steps : TIME_MAX_MS;
		record_mono_ms += 2 * steps;
	}
	now = record_ms;
	pthread_mutex_unlock(&record_lock);
	return now;
}

void clock_record_after(int64_t wall_ms)
{
	pthread_mutex_lock(&record_lock);
	if (wall_ms > record_ms) {
		record_ms = wall_ms < TIME_MAX_MS ? wall_ms : TIME_MAX_MS;
		record_mono_ms = clock_mono_ms();
	}
	pthread_mutex_unlock(&record_lock);
}

void clock_test_start(int64_t mono_ms, int64_t wall_ms)
{
	pthread_mutex_lock(&record_lock);
	record_ms = INT64_MIN;
	pthread_mutex_unlock(&record_lock);
	atomic_store(&test_mono, mono_ms);
	atomic_store(&test_wall, wall_ms);
	atomic_store(&test_on, true);
}

void clock_test_advance(int64_t ms)
{
	assert(atomic_load(&test_on) && ms >= 0);
	atomic_fetch_add(&test_mono, ms);
	atomic_fetch_add(&test_wall, ms);
}

void clock_test_set_wall(int64_t wall_ms)
{
	assert(atomic_load(&test_on));
	atomic_store(&test_wall, wall_ms);
}

bool clock_is_test(void)
{
	return atomic_load(&test_on);
}

struct date {
	int year, month, day;
};

/*
 * Without gmtime_r(), which takes a lock. A year begins in March here, so that a leap day is its
 * last, and days are counted from such a year 400 years before the first one that has a text. The
 * calendar repeats every 400 years, which are 146097 days.
 */
static struct date date_of(int64_t days_since_1970)
{
	int64_t days = days_since_1970 + 719468 + 146097, day = days % 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int month;

	day -= 365 * year + year / 4 - year / 100;
	month = (int)((5 * day + 2) / 153);
	return (struct date){
		.year = (int)(year + days / 146097 * 400) - 400 + (month >= 10),
		.month = month < 10 ? month + 3 : month - 9,
		.day = (int)(day - (153 * month + 2) / 5) + 1,
	};
}

/* So many digits, and then the character. */
static char *put_digits(char *out, int value, int count, char then)
{
	for (int i = count - 1; i >= 0; i--, value /= 10)
		out[i] = (char)('0' + value % 10);
	out[count] = then;
	return out + count + 1;
}

/* Answers hold many times, so without printf(). */
void time_format(int64_t wall_ms, char out[TIME_TEXT_SIZE])
{
	const int64_t day_ms = INT64_C(24) * 3600 * 1000;
	char *end = out;
	struct date date;
	int ms;

	wall_ms = wall_ms < TIME_MIN_MS   ? TIME_MIN_MS
		  : wall_ms > TIME_MAX_MS ? TIME_MAX_MS
					  : wall_ms;
	ms = (int)((wall_ms % day_ms + day_ms) % day_ms); /* of the day */
	date = date_of((wall_ms - ms) / day_ms);
	end = put_digits(end, date.year, 4, '-');
	end = put_digits(end, date.month, 2, '-');
	end = put_digits(end, date.day, 2, 'T');
	end = put_digits(end, ms / 3600000, 2, ':');
	end = put_digits(end, ms / 60000 % 60, 2, ':');
	end = put_digits(end, ms / 1000 % 60, 2, '.');
	end = put_digits(end, ms % 1000, 3, 'Z');
	*end = '\0';
	assert(end == out + TIME_TEXT_SIZE - 1);
}

/* Exactly count digits, then the character `then` unless that is 0. */
static int take_number(const char **text, int count, char then, int *out)
{
	const char *p = *text;
	int value = 0;

	for (int i = 0; i < count; i++, p++) {
		if (*p < '0' || *p > '9')
			return -1;
		value = value * 10 + (*p - '0');
	}
	if (then && *p++ != then)
		return -1;
	*text = p;
	*out = value;
	return 0;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* "2026-11-22T21:50:03"; *text points behind it afterwards. */
static int take_date_time(const char **text, int64_t *out_seconds)
{
	struct tm tm = { 0 };
	int year, month;

	if (take_number(text, 4, '-', &year) < 0 || take_number(text, 2, '-', &month) < 0 ||
	    take_number(text, 2, 0, &tm.tm_mday) < 0)
		return -1;
	if (**text != 'T' && **text != 't')
		return -1;
	(*text)++;
	if (take_number(text, 2, ':', &tm.tm_hour) < 0 ||
	    take_number(text, 2, ':', &tm.tm_min) < 0 || take_number(text, 2, 0, &tm.tm_sec) < 0)
		return -1;
	if (month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > days_in_month(year, month))
		return -1;
	/* 60 is a leap second. */
	if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return -1;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	*out_seconds = timegm(&tm);
	return 0;
}

/* ".123456789", shortened to milliseconds; may be absent. */
static int take_fraction(const char **text, int64_t *out_ms)
{
	int scale = 100, digits = 0;
	const char *p = *text;

	*out_ms = 0;
	if (*p != '.')
		return 0;
	for (p++; *p >= '0' && *p <= '9'; p++, digits++) {
		*out_ms += (int64_t)(*p - '0') * scale;
		scale /= 10;
	}
	*text = p;
	return digits >= 1 && digits <= 9 ? 0 : -1;
}

/* "Z", "+01:00" or "+0100", to the end of the text. */
static int take_offset(const char *text, int64_t *out_seconds)
{
	int sign = *text == '-' ? -1 : 1, hours, minutes;

	*out_seconds = 0;
	if ((*text == 'Z' || *text == 'z') && !text[1])
		return 0;
	if (*text != '+' && *text != '-')
		return -1;
	text++;
	if (take_number(&text, 2, 0, &hours) < 0)
		return -1;
	if (*text == ':')
		text++;
	if (take_number(&text, 2, 0, &minutes) < 0 || *text || hours > 23 || minutes > 59)
		return -1;
	*out_seconds = (int64_t)sign * (hours * 3600 + minutes * 60);
	return 0;
}

int time_parse(const char *text, int64_t *out_wall_ms)
{
	int64_t seconds, ms, offset;

	if (take_date_time(&text, &seconds) < 0 || take_fraction(&text, &ms) < 0 ||
	    take_offset(text, &offset) < 0)
		return -1;
	*out_wall_ms = (seconds - offset) * 1000 + ms;
	return 0;
}
