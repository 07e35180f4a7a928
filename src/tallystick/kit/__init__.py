"""Tools that know no payment: clocks, ids, logs, rounds, card data. Only ``logs``, ``clock``, ``ids`` and
``atomic_file`` touch the system.
"""
