;; Wants a version of the contract that this host does not know. To be refused when it is loaded, with the name of the
;; import.
(component
  (import "ztlib:policy/request@9.9.0" (instance)))
