"""`make bench`: parparchik beside its peers, on one machine, in one go.

Idea: measuring makes `figures`, one value that is written as JSON, and everything that people read
is generated from that value: no number in RESULTS.md was ever typed. `stage` and `programs` say
who competes and with what; `judge` looks at everybody's answers before anybody is timed; `rounds`
lets them take turns, since a ratio is only worth something within one round; `errands` are the
figures that are not a race; `goals` holds what has to be reached against what was.
"""
