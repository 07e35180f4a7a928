"""What knows no payment: clocks, ids, logs, card data. Only ``logs``,
``clock``, ``ids`` and ``atomic_file`` touch the system.
"""
