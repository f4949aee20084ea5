"""The load-test suite: bundled with parparchik and run as `parparchik bench`.

Idea: `load` fires requests and checks answers; `stand_in` is an S3 that costs next to nothing;
`local` starts servers on processors of their own and reads what they use; `scenarios` say what is
asked of whom; `report` writes tables, JSON and charts. It uses parparchik as an operator would, by
its command and its URLs.
"""
