;; A component that imports nothing and exports nothing: it has no answer to give.
(component)
